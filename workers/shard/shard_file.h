// SPDX-License-Identifier: Apache-2.0
// One shard file (docs/formats/shards.md): written subject by subject, read by subject index with
// one block in memory. Thread-compatible. Reading errors: kDataLoss naming the file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/io/file.h"
#include "workers/shard/block.h"
#include "workers/shard/manifest.h"

namespace anamnesis::shard {

class ShardFileWriter {
 public:
  // `sites` outlives the writer.
  static StatusOr<std::unique_ptr<ShardFileWriter>> Create(
      const std::string& directory, const std::string& name,
      const std::map<std::string, uint32_t>& sites);
  Status Add(Subject subject);
  // Writes index and footer and makes the file durable.
  StatusOr<ShardRecord> Finish();

 private:
  ShardFileWriter(StagedFile file, std::string name, const std::map<std::string, uint32_t>& sites)
      : file_(std::move(file)), builder_(sites) {
    record_.file = std::move(name);
  }
  Status Append(std::string_view bytes);
  Status FinishBlock();

  StagedFile file_;
  BlockBuilder builder_;
  Sha256 sha256_;
  std::string index_;  // entries without the count
  uint64_t num_blocks_ = 0;
  ShardRecord record_;
};

class ShardFileReader {
 public:
  // Checks header, footer and index. `sites` outlives the reader.
  static StatusOr<std::unique_ptr<ShardFileReader>> Open(const std::string& path,
                                                         const ShardRecord& record,
                                                         uint64_t num_phrases,
                                                         const std::vector<std::string>* sites);
  // Subject `index` of this file. Keeps the block it is in.
  Status Read(uint64_t index, Subject* subject);

 private:
  struct BlockPlace {
    uint64_t offset = 0, size_bytes = 0;
    uint64_t first_subject = 0, num_subjects = 0;
  };
  ShardFileReader() = default;
  Status ReadIndex(const ShardRecord& record);
  Status LoadBlock(size_t block);

  std::string path_;
  FileDescriptor file_;
  std::vector<BlockPlace> places_;
  uint64_t num_subjects_ = 0;
  uint64_t num_phrases_ = 0;
  const std::vector<std::string>* sites_ = nullptr;
  std::optional<size_t> current_;  // index of block_ in places_
  Block block_;
  std::string frame_;  // reused buffer
};

}  // namespace anamnesis::shard
