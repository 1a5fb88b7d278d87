// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "common/base/check.h"
#include "common/base/crc32c.h"

namespace anamnesis::stream {
namespace {

static_assert(std::endian::native == std::endian::little, "the index is read in place");

constexpr char kMagic[] = "ANPIECES";
constexpr char kEndMagic[] = "ANPE";
constexpr uint32_t kVersion = 1;
constexpr size_t kDigestBytes = 64;
constexpr size_t kSplitBytes = 40;
constexpr size_t kHeaderBytes = 192;
constexpr size_t kTotalsBytes = 80;
constexpr size_t kFooterBytes = kTotalsBytes + 8;
constexpr size_t kFlushBytes = 64 * 1024;

void PutU32(uint32_t value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutFixed(const std::string& text, size_t size_bytes, std::string* out) {
  ANAM_CHECK(text.size() <= size_bytes);
  out->append(text);
  out->append(size_bytes - text.size(), '\0');
}

uint32_t GetU32(const char* at) {
  uint32_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

std::string GetFixed(const char* at, size_t size_bytes) {
  return std::string(at, strnlen(at, size_bytes));
}

// The totals in the order of the format.
std::array<int64_t*, 10> FieldsOf(StreamTotals* totals) {
  return {&totals->num_subjects,         &totals->num_events,    &totals->num_cut_events,
          &totals->num_dropped_subjects, &totals->num_documents, &totals->num_pieces,
          &totals->num_tokens,           &totals->num_labels,    &totals->num_ids,
          &totals->num_dropped_ids};
}

std::string HeaderOf(const IndexSource& source) {
  std::string header(kMagic, 8);
  PutU32(kVersion, &header);
  PutU32(source.max_length, &header);
  PutFixed(source.manifest_sha256, kDigestBytes, &header);
  PutFixed(source.stream_digest, kDigestBytes, &header);
  PutU32(source.num_prefix_ids, &header);
  PutU32(source.num_tail_ids, &header);
  PutFixed(source.split, kSplitBytes, &header);
  ANAM_CHECK(header.size() == kHeaderBytes);
  return header;
}

StatusOr<IndexSource> SourceOf(const char* header, const std::string& path) {
  if (std::memcmp(header, kMagic, 8) != 0) return DataLoss(path, ": not a piece index");
  if (GetU32(header + 8) != kVersion) {
    return DataLoss(path, ": version ", GetU32(header + 8), ", expected ", kVersion);
  }
  IndexSource source;
  source.max_length = GetU32(header + 12);
  source.manifest_sha256 = GetFixed(header + 16, kDigestBytes);
  source.stream_digest = GetFixed(header + 80, kDigestBytes);
  source.num_prefix_ids = GetU32(header + 144);
  source.num_tail_ids = GetU32(header + 148);
  source.split = GetFixed(header + 152, kSplitBytes);
  return source;
}

}  // namespace

StatusOr<PieceIndexWriter> PieceIndexWriter::Create(const std::string& path,
                                                    const IndexSource& source) {
  if (source.split.size() > kSplitBytes) {
    return InvalidArgument("split name of ", source.split.size(), " bytes; at most ", kSplitBytes);
  }
  ANAM_ASSIGN_OR_RETURN(StagedFile file, StagedFile::Create(path));
  PieceIndexWriter writer(std::move(file));
  writer.buffer_ = HeaderOf(source);
  return writer;
}

Status PieceIndexWriter::AddSubject(std::span<const uint32_t> piece_lengths) {
  if (num_subjects_ % 8 == 0) subject_bits_ += '\0';
  if (!piece_lengths.empty()) {
    subject_bits_.back() = static_cast<char>(subject_bits_.back() | (1 << (num_subjects_ % 8)));
  }
  ++num_subjects_;
  for (size_t i = 0; i < piece_lengths.size(); ++i) {
    PutU32(piece_lengths[i] | (i == 0 ? Piece::kFirst : 0), &buffer_);
  }
  return buffer_.size() < kFlushBytes ? absl::OkStatus() : Flush();
}

Status PieceIndexWriter::Flush() {
  crc_ = Crc32c(buffer_.data(), buffer_.size(), crc_);
  ANAM_RETURN_IF_ERROR(file_.Append(buffer_));
  buffer_.clear();
  return absl::OkStatus();
}

Status PieceIndexWriter::Commit(const StreamTotals& totals) {
  buffer_ += subject_bits_;
  StreamTotals copy = totals;
  for (const int64_t* field : FieldsOf(&copy)) {
    buffer_.append(reinterpret_cast<const char*>(field), sizeof(*field));
  }
  ANAM_RETURN_IF_ERROR(Flush());
  std::string end;
  PutU32(crc_, &end);
  end.append(kEndMagic, 4);
  ANAM_RETURN_IF_ERROR(file_.Append(end));
  return file_.Commit();
}

StatusOr<PieceIndex> PieceIndex::Read(const std::string& path) {
  if (!PathExists(path)) return NotFound(path, ": no such index");
  ANAM_ASSIGN_OR_RETURN(const uint64_t size_bytes, FileSize(path));
  ANAM_ASSIGN_OR_RETURN(const FileDescriptor file, OpenForRead(path));
  PieceIndex index;
  ANAM_RETURN_IF_ERROR(index.ReadBody(file, path, size_bytes));
  ANAM_RETURN_IF_ERROR(index.CheckPieces(path));
  index.BuildDirectories();
  return index;
}

// The size follows from the totals, so nothing is allocated that the file does not hold.
Status PieceIndex::ReadBody(const FileDescriptor& file, const std::string& path,
                            uint64_t size_bytes) {
  if (size_bytes < kHeaderBytes + kFooterBytes) {
    return DataLoss(path, ": ", size_bytes, " bytes are too few for an index");
  }
  std::string header(kHeaderBytes, '\0');
  std::string footer(kFooterBytes, '\0');
  ANAM_RETURN_IF_ERROR(ReadAt(file, path, 0, header.data(), header.size()));
  ANAM_RETURN_IF_ERROR(ReadAt(file, path, size_bytes - kFooterBytes, footer.data(), footer.size()));
  ANAM_ASSIGN_OR_RETURN(source_, SourceOf(header.data(), path));
  if (std::memcmp(footer.data() + kTotalsBytes + 4, kEndMagic, 4) != 0) {
    return DataLoss(path, ": the end mark is missing at byte ", size_bytes - 4);
  }
  const char* at = footer.data();
  for (int64_t* field : FieldsOf(&totals_)) {
    std::memcpy(field, at, sizeof(*field));
    at += sizeof(*field);
    if (*field < 0) return DataLoss(path, ": a total is negative");
  }
  const uint64_t body_bytes = size_bytes - kHeaderBytes - kFooterBytes;
  const uint64_t num_pieces = static_cast<uint64_t>(totals_.num_pieces);
  const uint64_t bitmap_bytes = (static_cast<uint64_t>(totals_.num_subjects) + 7) / 8;
  if (num_pieces >= std::numeric_limits<uint32_t>::max() || bitmap_bytes > body_bytes ||
      num_pieces * 4 != body_bytes - bitmap_bytes) {
    return DataLoss(path, ": ", size_bytes, " bytes do not fit its totals of ", num_pieces,
                    " pieces and ", totals_.num_subjects, " subjects");
  }
  pieces_.resize(num_pieces);
  subject_bits_.resize(bitmap_bytes);
  ANAM_RETURN_IF_ERROR(ReadAt(file, path, kHeaderBytes, pieces_.data(), num_pieces * 4));
  ANAM_RETURN_IF_ERROR(
      ReadAt(file, path, kHeaderBytes + num_pieces * 4, subject_bits_.data(), bitmap_bytes));
  uint32_t crc = Crc32c(header.data(), header.size());
  crc = Crc32c(pieces_.data(), num_pieces * 4, crc);
  crc = Crc32c(subject_bits_.data(), bitmap_bytes, crc);
  crc = Crc32c(footer.data(), kTotalsBytes, crc);
  const uint32_t stored = GetU32(footer.data() + kTotalsBytes);
  if (crc != stored) return DataLoss(path, ": CRC ", crc, ", expected ", stored);
  return absl::OkStatus();
}

// A CRC says the file is as it was written; this says it was written right.
Status PieceIndex::CheckPieces(const std::string& path) const {
  uint64_t num_ids = 0;
  uint64_t num_firsts = 0;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const uint32_t length = pieces_[i].length();
    if (length < 1 || length > source_.max_length || (i == 0 && !pieces_[i].is_first())) {
      return DataLoss(path, ": piece ", i, " of ", length, " ids is not valid");
    }
    num_ids += length;
    num_firsts += pieces_[i].is_first() ? 1 : 0;
  }
  uint64_t num_bits = 0;
  for (const uint8_t byte : subject_bits_) num_bits += static_cast<uint64_t>(std::popcount(byte));
  const uint64_t num_documents = static_cast<uint64_t>(totals_.num_documents);
  if (num_ids != static_cast<uint64_t>(totals_.num_ids) || num_firsts != num_documents ||
      num_bits != num_documents) {
    return DataLoss(path, ": pieces and subjects do not add up to the totals");
  }
  return absl::OkStatus();
}

void PieceIndex::BuildDirectories() {
  uint64_t count = 0;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    if (i % kPiecesPerMark == 0) documents_before_piece_.push_back(count);
    count += pieces_[i].is_first() ? 1 : 0;
  }
  count = 0;
  for (size_t i = 0; i < subject_bits_.size(); ++i) {
    if (i % kBytesPerMark == 0) documents_before_byte_.push_back(count);
    count += static_cast<uint64_t>(std::popcount(subject_bits_[i]));
  }
}

PieceIndex::Place PieceIndex::Locate(uint32_t piece) const {
  ANAM_CHECK(piece < pieces_.size());
  Place place;
  while (!pieces_[piece - place.ordinal].is_first()) ++place.ordinal;
  const size_t first = piece - place.ordinal;
  place.document = documents_before_piece_[first / kPiecesPerMark];
  for (size_t i = first / kPiecesPerMark * kPiecesPerMark; i < first; ++i) {
    place.document += pieces_[i].is_first() ? 1 : 0;
  }
  // The last mark with no more set bits before it than there are documents before this one.
  const auto mark = std::upper_bound(documents_before_byte_.begin(), documents_before_byte_.end(),
                                     place.document) -
                    1;
  uint64_t before = *mark;
  size_t byte = static_cast<size_t>(mark - documents_before_byte_.begin()) * kBytesPerMark;
  for (;; ++byte) {
    const uint64_t here = static_cast<uint64_t>(std::popcount(subject_bits_[byte]));
    if (before + here > place.document) break;
    before += here;
  }
  uint8_t bits = subject_bits_[byte];
  for (; before < place.document; ++before) bits = static_cast<uint8_t>(bits & (bits - 1));
  place.subject = byte * 8 + static_cast<uint64_t>(std::countr_zero(bits));
  return place;
}

int64_t PieceIndex::TokensOf(uint32_t piece) const {
  const bool is_last = piece + size_t{1} == pieces_.size() || pieces_[piece + 1].is_first();
  return int64_t{pieces_[piece].length()} -
         (pieces_[piece].is_first() ? int64_t{source_.num_prefix_ids} : 0) -
         (is_last ? int64_t{source_.num_tail_ids} : 0);
}

}  // namespace anamnesis::stream
