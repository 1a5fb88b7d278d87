// SPDX-License-Identifier: Apache-2.0
// Writes a shard set: files go into a hidden staging directory beside the target, Commit() renames
// it there, so that a set exists whole or not at all. Destroyed uncommitted, it removes what it
// made.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/shard/manifest.h"
#include "workers/shard/reader.h"
#include "workers/shard/shard_file.h"

namespace anamnesis::shard {

class SetWriter {
 public:
  // `directory` must not exist (or be an empty folder): kAlreadyExists otherwise. Leftovers of a
  // writer that died before (its process is gone) are removed. `sites` is sorted.
  static StatusOr<std::unique_ptr<SetWriter>> Create(const std::string& directory,
                                                     const std::vector<std::string>& sites);
  ~SetWriter();

  // Thread-safe: one writer a file, each used by one thread.
  StatusOr<std::unique_ptr<ShardFileWriter>> NewShard(const std::string& split,
                                                      uint64_t number) const;
  Status WritePhrases(const std::vector<Phrase>& phrases, Manifest* manifest) const;
  // Hashes of the ids (docs/formats/shards.md), in any order.
  StatusOr<FileRecord> WriteSubjectHashes(const std::string& split,
                                          const std::vector<int64_t>& subject_ids) const;
  Status WriteSubjectHashes(const std::string& split, std::vector<uint64_t> hashes,
                            FileRecord* record) const;
  // A file of another set, with its bytes: linked where the file system can do that, else copied.
  Status Take(const std::string& path, const std::string& name) const;
  // Writes the manifest and makes the set visible.
  Status Commit(const Manifest& manifest);

 private:
  SetWriter() = default;
  StatusOr<FileRecord> WriteFile(const std::string& name, const std::string& content) const;

  std::string directory_, staging_;
  std::map<std::string, uint32_t> sites_;
  bool committed_ = false;
};

}  // namespace anamnesis::shard
