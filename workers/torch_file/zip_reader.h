// SPDX-License-Identifier: Apache-2.0
// A restricted reader of zip files as torch.save writes them: entries stored without compression,
// zip64, data descriptors. Everything in the central directory is checked against the entries'
// own headers when the file is opened; compression, encryption, several disks, duplicate names and
// entries that overlap are refused, so that no entry is larger than the file. Format: PKWARE's
// APPNOTE.TXT 6.3.10, the sections named in the source. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/io/file.h"

namespace anamnesis::torch_file {

struct ZipEntry {
  std::string name;
  uint64_t header_offset = 0;  // of its local header
  uint64_t data_offset = 0;    // of its first byte, both from the start of the file
  uint64_t size_bytes = 0;
  uint32_t crc32 = 0;
};

class ZipFile {
 public:
  // kInvalidArgument: cannot be opened. kDataLoss: not such a file; the text says what and where.
  static StatusOr<ZipFile> Open(const std::string& path);

  const std::string& path() const { return path_; }
  const std::vector<ZipEntry>& entries() const { return entries_; }  // by offset
  const ZipEntry* Find(const std::string& name) const;               // null when absent
  // The central directory as stored: names, sizes and checksums of all entries.
  const std::string& directory() const { return directory_; }

  // Reads `size_bytes` at `offset` of the entry. A read of the whole entry is checked against its
  // CRC-32 (0 is taken for "not computed", which torch.save can be told to write). kDataLoss.
  Status Read(const ZipEntry& entry, uint64_t offset, void* out, uint64_t size_bytes) const;
  // The whole entry; kDataLoss when it has more than `most_bytes`.
  StatusOr<std::string> ReadAll(const ZipEntry& entry, uint64_t most_bytes) const;

 private:
  struct End;  // of the central directory
  Status FindEnd(uint64_t file_bytes, End* end) const;
  Status ReadZip64End(uint64_t end_offset, End* end) const;
  Status ReadDirectory(const End& end);
  Status CheckLocalHeader(uint64_t directory_offset, ZipEntry* entry, uint16_t flags,
                          uint64_t* entry_end) const;
  Status CheckDescriptor(const ZipEntry& entry, uint64_t directory_offset,
                         uint64_t* entry_end) const;

  std::string path_;
  FileDescriptor fd_;
  std::string directory_;
  std::vector<ZipEntry> entries_;
  std::map<std::string, size_t> by_name_;
};

}  // namespace anamnesis::torch_file
