// SPDX-License-Identifier: Apache-2.0
// Writes a zip file of stored entries whose data begins at a multiple of 64 bytes, as torch.save
// does, with zip64 fields where an entry or the directory lies beyond 4 GiB. The file appears whole
// or not at all. The same entries give the same bytes. Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/io/file.h"
#include "workers/torch_file/zip_format.h"

namespace anamnesis::torch_file {

class ZipWriter {
 public:
  // Sizes and offsets from `zip64_from` on are written in zip64 fields; another value than the
  // default is for tests of those fields.
  static StatusOr<ZipWriter> Create(const std::string& path, uint64_t zip64_from = zip::kNone32);

  // Names are unique (the caller's duty), UTF-8 and shorter than 64 KiB.
  Status Add(const std::string& name, std::string_view data);
  Status Commit();

 private:
  ZipWriter(StagedFile file, uint64_t zip64_from)
      : file_(std::move(file)), zip64_from_(zip64_from) {}

  StagedFile file_;
  uint64_t zip64_from_;
  std::string directory_;
  uint64_t num_entries_ = 0;
};

}  // namespace anamnesis::torch_file
