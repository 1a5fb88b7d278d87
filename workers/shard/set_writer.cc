// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/set_writer.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "workers/shard/phrases.h"

namespace anamnesis::shard {
namespace {

namespace fs = std::filesystem;

void RemoveTree(const std::string& path) {
  std::error_code ignored;  // what stays is hidden and is tried again by the next writer
  fs::remove_all(path, ignored);
}

// Removes staging directories whose writer (the process id in their name) is gone.
void RemoveLeftovers(const fs::path& parent, const std::string& prefix) {
  StatusOr<std::vector<std::string>> names = ListDirectory(parent.string());
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name.rfind(prefix, 0) != 0) continue;
    const long pid = std::strtol(name.c_str() + prefix.size(), nullptr, 10);
    if (pid > 0 && ::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) {
      RemoveTree((parent / name).string());
    }
  }
}

}  // namespace

StatusOr<std::unique_ptr<SetWriter>> SetWriter::Create(const std::string& directory,
                                                       const std::vector<std::string>& sites) {
  std::unique_ptr<SetWriter> writer(new SetWriter);
  std::error_code error;
  fs::path target = fs::absolute(directory, error).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // a trailing slash
  writer->directory_ = target.string();
  if (PathExists(writer->directory_)) {
    StatusOr<std::vector<std::string>> names = ListDirectory(writer->directory_);
    if (!names.ok() || !names->empty()) {
      return AlreadyExists(directory,
                           ": exists and is not an empty folder; choose another or remove it");
    }
  }
  const fs::path parent = target.parent_path();
  ANAM_RETURN_IF_ERROR(MakeDirectories(parent.string()));
  const std::string prefix = Cat(".", target.filename().string(), ".staging-");
  RemoveLeftovers(parent, prefix);
  writer->staging_ = (parent / Cat(prefix, ::getpid())).string();
  RemoveTree(writer->staging_);
  ANAM_RETURN_IF_ERROR(MakeDirectories(writer->staging_));
  for (const std::string& site : sites) {
    writer->sites_.emplace(site, static_cast<uint32_t>(writer->sites_.size()));
  }
  return writer;
}

SetWriter::~SetWriter() {
  if (!committed_ && !staging_.empty()) RemoveTree(staging_);
}

StatusOr<std::unique_ptr<ShardFileWriter>> SetWriter::NewShard(const std::string& split,
                                                               uint64_t number) const {
  char name[32];
  std::snprintf(name, sizeof name, "-%05llu.shard", static_cast<unsigned long long>(number));
  return ShardFileWriter::Create(staging_, split + name, sites_);
}

StatusOr<FileRecord> SetWriter::WriteFile(const std::string& name,
                                          const std::string& content) const {
  ANAM_RETURN_IF_ERROR(WriteFileDurably(Cat(staging_, "/", name), content));
  return FileRecord{name, content.size(), Sha256Hex(content)};
}

Status SetWriter::WritePhrases(const std::vector<Phrase>& phrases, Manifest* manifest) const {
  ANAM_ASSIGN_OR_RETURN(const std::string content, EncodePhrases(phrases));
  ANAM_ASSIGN_OR_RETURN(manifest->phrases, WriteFile(kPhrasesFile, content));
  manifest->num_phrases = phrases.size();
  return absl::OkStatus();
}

StatusOr<FileRecord> SetWriter::WriteSubjectHashes(const std::string& split,
                                                   const std::vector<int64_t>& subject_ids) const {
  std::vector<uint64_t> hashes;
  hashes.reserve(subject_ids.size());
  for (const int64_t id : subject_ids) {
    hashes.push_back(KeyedHash64(kSubjectHashKey, std::to_string(id)));
  }
  FileRecord record;
  ANAM_RETURN_IF_ERROR(WriteSubjectHashes(split, std::move(hashes), &record));
  return record;
}

Status SetWriter::WriteSubjectHashes(const std::string& split, std::vector<uint64_t> hashes,
                                     FileRecord* record) const {
  std::sort(hashes.begin(), hashes.end());
  std::string content;
  content.reserve(hashes.size() * 8);
  for (const uint64_t hash : hashes) {
    for (int shift = 56; shift >= 0; shift -= 8)
      content.push_back(static_cast<char>(hash >> shift));
  }
  ANAM_ASSIGN_OR_RETURN(*record, WriteFile(split + ".subject-hashes", content));
  return absl::OkStatus();
}

Status SetWriter::Take(const std::string& path, const std::string& name) const {
  const std::string target = Cat(staging_, "/", name);
  if (::link(path.c_str(), target.c_str()) == 0) return absl::OkStatus();
  ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  return WriteFileDurably(target, content);
}

Status SetWriter::Commit(const Manifest& manifest) {
  ANAM_RETURN_IF_ERROR(WriteFile(kManifestFile, ManifestText(manifest)).status());
  ANAM_RETURN_IF_ERROR(SyncDirectory(staging_));
  // rename(2) replaces an empty folder and refuses any other.
  if (::rename(staging_.c_str(), directory_.c_str()) != 0) {
    const int error = errno;
    if (error == ENOTEMPTY || error == EEXIST || error == ENOTDIR) {
      return AlreadyExists(directory_, ": appeared meanwhile; choose another or remove it");
    }
    return Internal(directory_, ": cannot rename the finished set here: ", ErrnoText(error));
  }
  committed_ = true;
  return SyncDirectory(fs::path(directory_).parent_path().string());
}

}  // namespace anamnesis::shard
