// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/shard_file.h"

#include <algorithm>
#include <utility>

#include "common/base/crc32c.h"
#include "workers/shard/frame.h"

namespace anamnesis::shard {
namespace {

constexpr std::string_view kFileMagic = "ANSHARD1";
constexpr std::string_view kFooterMagic = "ANND";
constexpr uint64_t kFooterBytes = 20;

// A file of the set that cannot be opened is lost data, not a wrong argument of the caller.
StatusOr<FileDescriptor> OpenOfSet(const std::string& path) {
  StatusOr<FileDescriptor> file = OpenForRead(path);
  if (!file.ok()) return DataLoss(MessageOf(file.status()));
  return file;
}

}  // namespace

StatusOr<std::unique_ptr<ShardFileWriter>> ShardFileWriter::Create(
    const std::string& directory, const std::string& name,
    const std::map<std::string, uint32_t>& sites) {
  ANAM_ASSIGN_OR_RETURN(StagedFile file, StagedFile::Create(Cat(directory, "/", name)));
  std::unique_ptr<ShardFileWriter> writer(new ShardFileWriter(std::move(file), name, sites));
  ANAM_RETURN_IF_ERROR(writer->Append(kFileMagic));
  return writer;
}

Status ShardFileWriter::Append(std::string_view bytes) {
  sha256_.Update(bytes);
  return file_.Append(bytes);
}

Status ShardFileWriter::Add(Subject subject) {
  ++record_.subjects;
  record_.events += subject.events.size();
  ANAM_RETURN_IF_ERROR(builder_.Add(std::move(subject)));
  return builder_.num_events() >= kEventsPerBlock ? FinishBlock() : absl::OkStatus();
}

Status ShardFileWriter::FinishBlock() {
  if (builder_.num_subjects() == 0) return absl::OkStatus();
  const uint64_t num_subjects = builder_.num_subjects();
  ANAM_ASSIGN_OR_RETURN(const std::string frame, EncodeFrame(kBlockMagic, builder_.Finish()));
  AppendVarint(frame.size(), &index_);
  AppendVarint(num_subjects, &index_);
  ++num_blocks_;
  return Append(frame);
}

StatusOr<ShardRecord> ShardFileWriter::Finish() {
  ANAM_RETURN_IF_ERROR(FinishBlock());
  std::string index;
  AppendVarint(num_blocks_, &index);
  index += index_;
  ANAM_ASSIGN_OR_RETURN(const std::string frame, EncodeFrame(kIndexMagic, index));
  std::string footer;
  AppendFixed64(file_.size_bytes(), &footer);
  AppendFixed32(static_cast<uint32_t>(frame.size()), &footer);
  AppendFixed32(Crc32c(footer.data(), footer.size()), &footer);
  footer += kFooterMagic;
  ANAM_RETURN_IF_ERROR(Append(frame));
  ANAM_RETURN_IF_ERROR(Append(footer));
  record_.bytes = file_.size_bytes();
  record_.sha256 = sha256_.HexDigest();
  ANAM_RETURN_IF_ERROR(file_.Commit());
  return record_;
}

StatusOr<std::unique_ptr<ShardFileReader>> ShardFileReader::Open(
    const std::string& path, const ShardRecord& record, uint64_t num_phrases,
    const std::vector<std::string>* sites) {
  std::unique_ptr<ShardFileReader> reader(new ShardFileReader);
  reader->path_ = path;
  reader->num_phrases_ = num_phrases;
  reader->sites_ = sites;
  ANAM_ASSIGN_OR_RETURN(reader->file_, OpenOfSet(path));
  ANAM_RETURN_IF_ERROR(AddContext(reader->ReadIndex(record), path));
  return reader;
}

Status ShardFileReader::ReadIndex(const ShardRecord& record) {
  ANAM_ASSIGN_OR_RETURN(const uint64_t size_bytes, FileSize(path_));
  if (size_bytes != record.bytes || size_bytes < kFileMagic.size() + kFooterBytes) {
    return DataLoss("has ", size_bytes, " bytes, the manifest says ", record.bytes);
  }
  std::string buffer(kFileMagic.size(), '\0');
  ANAM_RETURN_IF_ERROR(ReadAt(file_, path_, 0, buffer.data(), buffer.size()));
  if (buffer != kFileMagic) return DataLoss("wrong magic at byte 0, expected ", kFileMagic);
  std::string footer(kFooterBytes, '\0');
  const uint64_t footer_offset = size_bytes - kFooterBytes;
  ANAM_RETURN_IF_ERROR(ReadAt(file_, path_, footer_offset, footer.data(), footer.size()));
  const uint64_t index_offset = LoadFixed64(footer.data());
  const uint32_t index_bytes = LoadFixed32(footer.data() + 8);
  if (footer.substr(16) != kFooterMagic ||
      LoadFixed32(footer.data() + 12) != Crc32c(footer.data(), 12) ||
      index_offset > footer_offset || index_bytes != footer_offset - index_offset) {
    return DataLoss("footer at byte ", footer_offset, " is damaged");
  }
  buffer.resize(index_bytes);
  ANAM_RETURN_IF_ERROR(ReadAt(file_, path_, index_offset, buffer.data(), buffer.size()));
  std::string index;
  ANAM_RETURN_IF_ERROR(
      AddContext(DecodeFrame(kIndexMagic, buffer, &index), Cat("index at byte ", index_offset)));
  ByteCursor cursor(index);
  uint64_t num_blocks = 0, offset = kFileMagic.size();
  if (!cursor.Varint(&num_blocks) || num_blocks > cursor.size())
    return DataLoss("index is damaged");
  places_.resize(num_blocks);
  for (BlockPlace& place : places_) {
    if (!cursor.Varint(&place.size_bytes) || !cursor.Varint(&place.num_subjects) ||
        place.size_bytes > index_offset - offset || place.num_subjects > record.subjects) {
      return DataLoss("index is damaged");
    }
    place.offset = offset;
    place.first_subject = num_subjects_;
    offset += place.size_bytes;
    num_subjects_ += place.num_subjects;
  }
  if (!cursor.empty() || offset != index_offset) return DataLoss("index does not cover the file");
  if (num_subjects_ != record.subjects) {
    return DataLoss("index holds ", num_subjects_, " subjects, the manifest says ",
                    record.subjects);
  }
  return absl::OkStatus();
}

Status ShardFileReader::LoadBlock(size_t block) {
  if (current_ == block) return absl::OkStatus();
  current_.reset();
  const BlockPlace& place = places_[block];
  frame_.resize(place.size_bytes);
  ANAM_RETURN_IF_ERROR(ReadAt(file_, path_, place.offset, frame_.data(), frame_.size()));
  std::string payload;
  ANAM_RETURN_IF_ERROR(DecodeFrame(kBlockMagic, frame_, &payload));
  ANAM_ASSIGN_OR_RETURN(block_, Block::Parse(std::move(payload), num_phrases_, sites_));
  if (block_.num_subjects() != place.num_subjects) {
    return DataLoss("holds ", block_.num_subjects(), " subjects, the index says ",
                    place.num_subjects);
  }
  current_ = block;
  return absl::OkStatus();
}

Status ShardFileReader::Read(uint64_t index, Subject* subject) {
  if (index >= num_subjects_) {
    return InvalidArgument(path_, ": subject ", index, " of ", num_subjects_, " does not exist");
  }
  const auto after =
      std::upper_bound(places_.begin(), places_.end(), index,
                       [](uint64_t i, const BlockPlace& place) { return i < place.first_subject; });
  const auto block = static_cast<size_t>(after - places_.begin()) - 1;
  const auto context = [&] {
    return Cat(path_, ": block ", block, " at byte ", places_[block].offset);
  };
  if (Status status = LoadBlock(block); !status.ok()) return AddContext(status, context());
  if (Status status = block_.Read(index - places_[block].first_subject, subject); !status.ok()) {
    return AddContext(status, context());
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::shard
