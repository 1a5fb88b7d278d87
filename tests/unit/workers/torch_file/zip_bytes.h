// SPDX-License-Identifier: Apache-2.0
// Zip files for tests: entries as bytes, and edits of single fields.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/io/file.h"
#include "tests/support/temporary_folder.h"
#include "workers/torch_file/zip_writer.h"

namespace anamnesis::torch_file {

using Entries = std::vector<std::pair<std::string, std::string>>;

inline std::string ZipOf(const Entries& entries, uint64_t zip64_from = zip::kNone32) {
  const TemporaryFolder folder;
  auto writer = ZipWriter::Create(folder.File("z"), zip64_from);
  for (const auto& [name, data] : entries) {
    if (!writer->Add(name, data).ok()) return "";
  }
  return writer->Commit().ok() ? *ReadFile(folder.File("z")) : "";
}

inline std::string LittleEndian(uint64_t value, int num_bytes) {
  std::string bytes;
  for (int i = 0; i < num_bytes; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

// Where record `index` with this signature begins.
inline size_t RecordAt(const std::string& bytes, uint32_t signature, int index) {
  size_t at = bytes.find(LittleEndian(signature, 4));
  for (; index > 0; --index) at = bytes.find(LittleEndian(signature, 4), at + 4);
  return at;
}

// Overwrites `num_bytes` at `field` of that record.
inline std::string WithField(std::string bytes, uint32_t signature, int index, size_t field,
                             uint64_t value, int num_bytes) {
  bytes.replace(RecordAt(bytes, signature, index) + field, static_cast<size_t>(num_bytes),
                LittleEndian(value, num_bytes));
  return bytes;
}

}  // namespace anamnesis::torch_file
