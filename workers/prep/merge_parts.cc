// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/merge_parts.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "common/io/file.h"
#include "workers/prep/cohort.h"
#include "workers/prep/identity.h"
#include "workers/shard/set_writer.h"

namespace anamnesis::prep {
namespace {

struct Part {
  std::string folder;
  shard::Manifest manifest;
};

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

bool IsSplit(const std::string& role) {
  return role == "train" || role == "tuning" || role == "held_out";
}

// The k-th input of a split became the k-th shard of it.
const shard::InputRecord* InputOf(const shard::Manifest& manifest, const std::string& split,
                                  size_t number) {
  for (const shard::InputRecord& input : manifest.inputs) {
    if (input.role == split && number-- == 0) return &input;
  }
  return nullptr;
}

StatusOr<std::vector<Part>> OpenParts(const std::string& out, uint64_t count) {
  std::vector<Part> parts;
  for (uint64_t i = 0; i < count; ++i) {
    Part& part = parts.emplace_back();
    part.folder = PartFolder(out, i, count);
    const std::string path = Cat(part.folder, "/", shard::kManifestFile);
    if (!PathExists(path)) {
      return NotFound(part.folder, ": is not there; prepare it with --part ", i, "/", count);
    }
    ANAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    StatusOr<shard::Manifest> manifest = shard::ParseManifest(text);
    if (!manifest.ok()) return AddContext(manifest.status(), path);
    part.manifest = *std::move(manifest);
    ANAM_ASSIGN_OR_RETURN(const bool intact,
                          IsIntactSet(part.folder, part.manifest.digest, &part.manifest));
    if (!intact) return DataLoss(path, ": changed while it was read");
  }
  return parts;
}

std::vector<std::string> TablesOf(const shard::Manifest& manifest) {
  std::vector<std::string> tables;
  for (const shard::InputRecord& input : manifest.inputs) {
    if (!IsSplit(input.role)) tables.push_back(Cat(input.role, " ", input.sha256));
  }
  return tables;
}

Status CheckAlike(const Part& one, const Part& other) {
  const shard::Manifest &a = one.manifest, &b = other.manifest;
  const char* what = a.code_version != b.code_version       ? "another program"
                     : a.rules_sha256 != b.rules_sha256     ? "other rules"
                     : TablesOf(a) != TablesOf(b)           ? "other tables"
                     : a.phrases.sha256 != b.phrases.sha256 ? "other phrases"
                     : a.sites != b.sites                   ? "other sites"
                                                            : nullptr;
  if (what == nullptr) return absl::OkStatus();
  return FailedPrecondition(other.folder, ": was made by or of ", what, " than ", one.folder,
                            "; prepare both again");
}

// The 64-bit hashes of a split's subjects, big-endian.
StatusOr<std::vector<uint64_t>> ReadHashes(const Part& part, const shard::SplitRecord& split) {
  ANAM_ASSIGN_OR_RETURN(const std::string bytes,
                        ReadFile(Cat(part.folder, "/", split.subject_hashes.file)));
  std::vector<uint64_t> hashes(bytes.size() / 8, 0);
  for (size_t i = 0; i < hashes.size() * 8; ++i) {
    hashes[i / 8] = hashes[i / 8] << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return hashes;
}

// Each part has looked for subjects that occur twice in itself; here across them.
Status RefuseTwins(std::vector<std::pair<uint64_t, size_t>> subjects,
                   const std::vector<Part>& parts) {
  std::sort(subjects.begin(), subjects.end());
  for (size_t i = 1; i < subjects.size(); ++i) {
    if (subjects[i - 1].first != subjects[i].first) continue;
    return InvalidArgument("a subject occurs in two parts, expected each in one place: ",
                           parts[subjects[i - 1].second].folder, " and ",
                           parts[subjects[i].second].folder,
                           "; `anamnesis validate` on the data names such subjects");
  }
  return absl::OkStatus();
}

void AddCounts(const shard::SplitRecord& from, shard::SplitRecord* to) {
  to->subjects += from.subjects;
  to->events += from.events;
  to->cases += from.cases;
  to->static_events += from.static_events;
  to->silent_events += from.silent_events;
  to->unknown_events += from.unknown_events;
}

// The set's files and manifest out of those of the parts, in the order of one machine.
class Merge {
 public:
  Merge(const std::vector<Part>& parts, const shard::SetWriter& writer)
      : parts_(parts), writer_(writer) {}

  StatusOr<shard::Manifest> Run(const std::vector<InputFile>& files,
                                const std::vector<std::string>& splits) {
    const shard::Manifest& first = parts_[0].manifest;
    merged_ = first;
    merged_.splits.clear();
    merged_.lookups.clear();
    std::erase_if(merged_.inputs, [](const auto& input) { return IsSplit(input.role); });
    ANAM_RETURN_IF_ERROR(
        writer_.Take(Cat(parts_[0].folder, "/", first.phrases.file), first.phrases.file));
    for (const std::string& split : splits) ANAM_RETURN_IF_ERROR(AddSplit(split, files));
    ANAM_RETURN_IF_ERROR(RefuseTwins(std::move(subjects_), parts_));
    SumLookups();
    merged_.digest = DigestOf(merged_.inputs, merged_.rules_sha256);
    return std::move(merged_);
  }

 private:
  Status AddSplit(const std::string& name, const std::vector<InputFile>& files) {
    shard::SplitRecord& split = merged_.splits.emplace_back();
    split.name = name;
    std::vector<uint64_t> all;
    // By the file that each shard was made of.
    struct Source {
      size_t part;
      const shard::ShardRecord* shard;
      const shard::InputRecord* input;
    };
    std::map<std::string, Source> sources;
    for (size_t i = 0; i < parts_.size(); ++i) {
      for (const shard::SplitRecord& from : parts_[i].manifest.splits) {
        if (from.name != name) continue;
        AddCounts(from, &split);
        ANAM_ASSIGN_OR_RETURN(const std::vector<uint64_t> hashes, ReadHashes(parts_[i], from));
        for (const uint64_t hash : hashes) subjects_.emplace_back(hash, i);
        all.insert(all.end(), hashes.begin(), hashes.end());
        for (size_t k = 0; k < from.shards.size(); ++k) {
          const shard::InputRecord* input = InputOf(parts_[i].manifest, name, k);
          if (input == nullptr) return DataLoss(parts_[i].folder, ": a shard of no input");
          sources[input->name] = {i, &from.shards[k], input};
        }
      }
    }
    for (const InputFile& file : files) {
      if (file.split != name) continue;
      const auto found = sources.find(file.name);
      ANAM_ASSIGN_OR_RETURN(const uint64_t bytes, FileSize(file.path));
      if (found == sources.end() || found->second.input->bytes != bytes) {
        return FailedPrecondition(file.path,
                                  ": is not what the parts were made of; prepare them "
                                  "again");
      }
      const auto& [part, shard, input] = found->second;
      merged_.inputs.push_back(*input);
      split.shards.push_back(*shard);
      ANAM_RETURN_IF_ERROR(writer_.Take(Cat(parts_[part].folder, "/", shard->file), shard->file));
      sources.erase(found);
    }
    if (!sources.empty()) {
      return FailedPrecondition(sources.begin()->first,
                                ": is in a part and no longer in the data; prepare them again");
    }
    return writer_.WriteSubjectHashes(name, std::move(all), &split.subject_hashes);
  }

  // In the order of the roles, as one machine counts them.
  void SumLookups() {
    for (const LookupRole role :
         {LookupRole::kMedical, LookupRole::kLab, LookupRole::kRegion, LookupRole::kTime}) {
      shard::LookupRecord sum{.role = Cat(NameOf(role), "_lookup")};
      for (const Part& part : parts_) {
        for (const shard::LookupRecord& lookup : part.manifest.lookups) {
          if (lookup.role != sum.role) continue;
          sum.events += lookup.events;
          sum.translated += lookup.translated;
        }
      }
      if (sum.events > 0) merged_.lookups.push_back(sum);
    }
  }

  const std::vector<Part>& parts_;
  const shard::SetWriter& writer_;
  shard::Manifest merged_;
  std::vector<std::pair<uint64_t, size_t>> subjects_;  // hash, part
};

}  // namespace

Status ParsePart(const std::string& text, uint64_t* part, uint64_t* parts) {
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, *part);
  const bool slash = first.ec == std::errc() && first.ptr != end && *first.ptr == '/';
  const auto second =
      slash ? std::from_chars(first.ptr + 1, end, *parts) : std::from_chars_result{end, {}};
  if (!slash || second.ec != std::errc() || second.ptr != end || *parts < 1 || *parts > kMaxParts ||
      *part >= *parts) {
    return InvalidArgument("--part ", text, ": expected I/N, I from 0 to N-1, N up to ", kMaxParts,
                           ", such as 0/8");
  }
  return absl::OkStatus();
}

std::string PartFolder(const std::string& out, uint64_t part, uint64_t parts) {
  return Cat(WithoutSlash(out), ".parts/", part, "-of-", parts);
}

StatusOr<PrepareSummary> PreparePart(const config::DataSection& data,
                                     const PrepareOptions& options) {
  PrepareOptions part = options;
  part.out = PartFolder(options.out, options.part, options.parts);
  std::error_code ignored;  // what stays is refused by name
  std::filesystem::remove_all(part.out, ignored);
  return Prepare(data, part);
}

StatusOr<PrepareSummary> MergeParts(const config::DataSection& data, uint64_t parts,
                                    const PrepareOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  if (PathExists(Cat(options.out, "/", shard::kManifestFile))) {
    return Prepare(data, options);  // says whether it is this set
  }
  std::vector<std::string> splits = options.splits;
  if (splits.empty()) {
    ANAM_ASSIGN_OR_RETURN(splits, PresentSplits(data.data_dir));
  }
  ANAM_RETURN_IF_ERROR(CheckSplits(splits));
  ANAM_ASSIGN_OR_RETURN(const std::vector<Part> opened, OpenParts(options.out, parts));
  for (const Part& part : opened) ANAM_RETURN_IF_ERROR(CheckAlike(opened[0], part));
  ANAM_ASSIGN_OR_RETURN(const std::vector<InputFile> files, ListSplits(data.data_dir, splits));
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<shard::SetWriter> writer,
                        shard::SetWriter::Create(options.out, opened[0].manifest.sites));
  PrepareSummary summary;
  ANAM_ASSIGN_OR_RETURN(summary.manifest, Merge(opened, *writer).Run(files, splits));
  ANAM_RETURN_IF_ERROR(writer->Commit(summary.manifest));
  summary.bytes = BytesOf(summary.manifest);
  summary.notes.push_back(Cat("made of ", parts, " parts"));
  std::error_code ignored;  // they take room and harm nothing
  std::filesystem::remove_all(WithoutSlash(options.out) + ".parts", ignored);
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

}  // namespace anamnesis::prep
