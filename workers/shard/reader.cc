// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/reader.h"

#include <algorithm>
#include <utility>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "workers/shard/manifest.h"
#include "workers/shard/phrases.h"
#include "workers/shard/shard_file.h"

namespace anamnesis::shard {
namespace {

// A missing or unreadable file of a set is lost data that names the file.
StatusOr<std::string> ReadFileOfSet(const std::string& path) {
  StatusOr<std::string> content = ReadFile(path);
  if (!content.ok()) return DataLoss(MessageOf(content.status()));
  return content;
}

Status VerifyFile(const std::string& directory, const FileRecord& record) {
  const std::string path = Cat(directory, "/", record.file);
  StatusOr<uint64_t> size_bytes = FileSize(path);
  if (!size_bytes.ok()) return DataLoss(MessageOf(size_bytes.status()));
  if (*size_bytes != record.bytes) {
    return DataLoss(path, ": has ", *size_bytes, " bytes, the manifest says ", record.bytes);
  }
  StatusOr<std::string> sha256 = FileSha256(path);
  if (!sha256.ok()) return DataLoss(MessageOf(sha256.status()));
  if (*sha256 != record.sha256) return DataLoss(path, ": SHA-256 differs from the manifest's");
  return absl::OkStatus();
}

struct SplitState {
  SplitRecord record;
  std::vector<uint64_t> first_subjects;  // of each shard
  size_t current = 0;                    // shard of `reader`
  std::unique_ptr<ShardFileReader> reader;
};

class DirectoryShardSet final : public ShardSet {
 public:
  DirectoryShardSet(std::string directory, std::string manifest_sha256, Manifest manifest,
                    std::vector<Phrase> phrases)
      : directory_(std::move(directory)),
        manifest_sha256_(std::move(manifest_sha256)),
        manifest_(std::move(manifest)),
        phrases_(std::move(phrases)) {
    for (const SplitRecord& record : manifest_.splits) {
      summaries_.push_back({record.name, record.subjects, record.events});
      SplitState& state = states_.emplace_back();
      state.record = record;
      uint64_t first = 0;
      for (const ShardRecord& shard : record.shards) {
        state.first_subjects.push_back(first);
        first += shard.subjects;
      }
    }
  }

  const std::string& directory() const override { return directory_; }
  const std::string& manifest_sha256() const override { return manifest_sha256_; }
  const std::vector<Phrase>& phrases() const override { return phrases_; }
  const std::vector<SplitSummary>& splits() const override { return summaries_; }

  StatusOr<SplitSummary> Split(const std::string& split) const override {
    for (const SplitSummary& summary : summaries_) {
      if (summary.name == split) return summary;
    }
    return NoSuchSplit(split);
  }

  Status Read(const std::string& split, uint64_t index, Subject* subject) override {
    for (SplitState& state : states_) {
      if (state.record.name == split) return Read(state, index, subject);
    }
    return NoSuchSplit(split);
  }

  Status Verify(const std::vector<std::string>& splits) const override {
    ANAM_RETURN_IF_ERROR(VerifyFile(directory_, manifest_.phrases));
    for (const std::string& split : splits) {
      ANAM_RETURN_IF_ERROR(Split(split).status());
      for (const SplitRecord& record : manifest_.splits) {
        if (record.name != split) continue;
        ANAM_RETURN_IF_ERROR(VerifyFile(directory_, record.subject_hashes));
        for (const ShardRecord& shard : record.shards) {
          ANAM_RETURN_IF_ERROR(VerifyFile(directory_, shard));
        }
      }
    }
    return absl::OkStatus();
  }

 private:
  Status NoSuchSplit(const std::string& split) const {
    std::string known;
    for (const SplitSummary& summary : summaries_)
      known += (known.empty() ? "" : ", ") + summary.name;
    return InvalidArgument(directory_, ": has no split ", split, ", expected one of ", known);
  }

  Status Read(SplitState& state, uint64_t index, Subject* subject) const {
    if (index >= state.record.subjects) {
      return InvalidArgument(directory_, ": subject ", index, " of ", state.record.name,
                             " does not exist, the split has ", state.record.subjects);
    }
    const auto after =
        std::upper_bound(state.first_subjects.begin(), state.first_subjects.end(), index);
    const auto shard = static_cast<size_t>(after - state.first_subjects.begin()) - 1;
    if (!state.reader || state.current != shard) {
      state.reader.reset();
      const ShardRecord& record = state.record.shards[shard];
      ANAM_ASSIGN_OR_RETURN(state.reader,
                            ShardFileReader::Open(Cat(directory_, "/", record.file), record,
                                                  phrases_.size(), &manifest_.sites));
      state.current = shard;
    }
    return state.reader->Read(index - state.first_subjects[shard], subject);
  }

  std::string directory_, manifest_sha256_;
  Manifest manifest_;
  std::vector<Phrase> phrases_;
  std::vector<SplitSummary> summaries_;
  std::vector<SplitState> states_;
};

}  // namespace

StatusOr<std::unique_ptr<ShardSet>> ShardSet::Open(const std::string& directory) {
  const std::string manifest_path = Cat(directory, "/", kManifestFile);
  if (!IsDirectory(directory)) {
    return InvalidArgument(directory, ": is not a folder, expected a shard set");
  }
  ANAM_ASSIGN_OR_RETURN(const std::string text, ReadFileOfSet(manifest_path));
  StatusOr<Manifest> manifest = ParseManifest(text);
  if (!manifest.ok()) return AddContext(manifest.status(), manifest_path);
  ANAM_RETURN_IF_ERROR(VerifyFile(directory, manifest->phrases));
  const std::string phrases_path = Cat(directory, "/", manifest->phrases.file);
  ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFileOfSet(phrases_path));
  StatusOr<std::vector<Phrase>> phrases = DecodePhrases(content);
  if (!phrases.ok()) return AddContext(phrases.status(), phrases_path);
  if (phrases->size() != manifest->num_phrases) {
    return DataLoss(phrases_path, ": holds ", phrases->size(), " phrases, the manifest says ",
                    manifest->num_phrases);
  }
  return std::make_unique<DirectoryShardSet>(directory, Sha256Hex(text), *std::move(manifest),
                                             *std::move(phrases));
}

}  // namespace anamnesis::shard
