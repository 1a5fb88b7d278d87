// SPDX-License-Identifier: Apache-2.0
#include "workers/torch_file/zip_writer.h"

#include <algorithm>
#include <utility>

#include "common/base/crc32.h"

namespace anamnesis::torch_file {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint16_t kFlagUtf8 = 0x0800;
constexpr uint16_t kVersionPlain = 20, kVersion64 = 45;
constexpr uint16_t kFirstDay = 0x0021;  // 1980-01-01: equal content gives equal bytes

void Put(std::string* out, uint64_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) {
    out->push_back(static_cast<char>((value >> (8 * i)) & 0xFF));
  }
}
void Put16(std::string* out, uint64_t value) { Put(out, value, 2); }
void Put32(std::string* out, uint64_t value) { Put(out, value, 4); }
void Put64(std::string* out, uint64_t value) { Put(out, value, 8); }

// From "version needed" on, the fields that a local header and its directory record share.
void PutCommon(std::string* out, bool zip64, uint32_t crc, uint64_t size) {
  Put16(out, zip64 ? kVersion64 : kVersionPlain);
  Put16(out, kFlagUtf8);
  Put16(out, 0);  // stored
  Put16(out, 0);  // time
  Put16(out, kFirstDay);
  Put32(out, crc);
  for (int i = 0; i < 2; ++i) Put32(out, zip64 ? zip::kNone32 : size);
}

}  // namespace

StatusOr<ZipWriter> ZipWriter::Create(const std::string& path, uint64_t zip64_from) {
  ANAM_ASSIGN_OR_RETURN(StagedFile file, StagedFile::Create(path));
  return ZipWriter(std::move(file), zip64_from);
}

Status ZipWriter::Add(const std::string& name, std::string_view data) {
  const uint64_t offset = file_.size_bytes();
  const bool large = data.size() >= zip64_from_;
  const bool far = offset >= zip64_from_;
  const uint32_t crc = Crc32(data.data(), data.size());

  std::string header;
  Put32(&header, zip::kLocalSignature);
  PutCommon(&header, large, crc, data.size());
  Put16(&header, name.size());
  std::string extra;
  if (large) {
    Put16(&extra, zip::kZip64Tag);
    Put16(&extra, 16);
    for (int i = 0; i < 2; ++i) Put64(&extra, data.size());
  }
  const uint64_t unpadded = offset + zip::kLocalBytes + name.size() + extra.size() + 4;
  const uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  Put16(&extra, zip::kPaddingTag);
  Put16(&extra, padding);
  extra.append(padding, 'Z');
  Put16(&header, extra.size());
  ANAM_RETURN_IF_ERROR(file_.Append(header + name + extra));
  ANAM_RETURN_IF_ERROR(file_.Append(data));

  std::string fields;  // the record's zip64 field
  if (large) {
    for (int i = 0; i < 2; ++i) Put64(&fields, data.size());
  }
  if (far) Put64(&fields, offset);
  Put32(&directory_, zip::kCentralSignature);
  Put16(&directory_, kVersion64);
  PutCommon(&directory_, large, crc, data.size());
  Put16(&directory_, name.size());
  Put16(&directory_, fields.empty() ? 0 : 4 + fields.size());
  Put16(&directory_, 0);  // comment
  Put16(&directory_, 0);  // disk
  Put16(&directory_, 0);  // attributes
  Put32(&directory_, 0);
  Put32(&directory_, far ? zip::kNone32 : offset);
  directory_ += name;
  if (!fields.empty()) {
    Put16(&directory_, zip::kZip64Tag);
    Put16(&directory_, fields.size());
    directory_ += fields;
  }
  ++num_entries_;
  return absl::OkStatus();
}

Status ZipWriter::Commit() {
  const uint64_t offset = file_.size_bytes();
  std::string end;
  const bool zip64 =
      offset >= zip64_from_ || directory_.size() >= zip64_from_ || num_entries_ >= zip::kNone16;
  if (zip64) {
    Put32(&end, zip::kEnd64Signature);
    Put64(&end, zip::kEnd64Bytes - 12);
    Put16(&end, kVersion64);
    Put16(&end, kVersion64);
    Put32(&end, 0);
    Put32(&end, 0);
    for (int i = 0; i < 2; ++i) Put64(&end, num_entries_);
    Put64(&end, directory_.size());
    Put64(&end, offset);
    Put32(&end, zip::kLocatorSignature);
    Put32(&end, 0);
    Put64(&end, offset + directory_.size());
    Put32(&end, 1);
  }
  Put32(&end, zip::kEndSignature);
  Put32(&end, 0);  // this disk, the directory's disk
  for (int i = 0; i < 2; ++i) Put16(&end, zip64 ? zip::kNone16 : num_entries_);
  Put32(&end, zip64 ? zip::kNone32 : directory_.size());
  Put32(&end, zip64 ? zip::kNone32 : offset);
  Put16(&end, 0);  // comment
  ANAM_RETURN_IF_ERROR(file_.Append(directory_));
  ANAM_RETURN_IF_ERROR(file_.Append(end));
  return file_.Commit();
}

}  // namespace anamnesis::torch_file
