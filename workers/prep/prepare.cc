// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/prepare.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>

#include "common/io/file.h"
#include "workers/prep/identity.h"
#include "workers/shard/set_writer.h"

namespace anamnesis::prep {
namespace {

// What one pickle became.
struct FileResult {
  Status status;
  bool done = false;
  shard::InputRecord input;
  shard::ShardRecord shard;
  uint64_t cases = 0, static_events = 0, silent_events = 0, unknown_events = 0;
};

// Where a subject was found, to find it twice.
struct Place {
  int64_t subject_id = 0;
  uint32_t file = 0;
  uint32_t index = 0;
};

// Converts the files of all splits on some threads; results are kept by file, so that nothing
// depends on who did what.
class Conversion {
 public:
  Conversion(const Cohort& cohort, const shard::SetWriter& writer, std::vector<InputFile> files,
             WorkProgress progress)
      : cohort_(cohort),
        writer_(writer),
        files_(std::move(files)),
        progress_(std::move(progress)),
        results_(files_.size()),
        token_counts_(cohort.vocabulary().entries().size(), 0) {}

  Status Run(int jobs) {
    for (const InputFile& file : files_) {
      ANAM_ASSIGN_OR_RETURN(const uint64_t bytes, FileSize(file.path));
      total_bytes_ += bytes;
    }
    Tell(0);
    std::vector<std::thread> threads;
    const size_t num_threads =
        std::min<size_t>(static_cast<size_t>(std::max(jobs, 1)), files_.size());
    for (size_t i = 1; i < num_threads; ++i) {
      threads.emplace_back([this] { Work(); });
      ::pthread_setname_np(threads.back().native_handle(), "prep-convert");
    }
    Work();
    for (std::thread& thread : threads) thread.join();
    // Files are begun in order: every file before the first that failed has been read.
    for (const FileResult& result : results_) ANAM_RETURN_IF_ERROR(result.status);
    return FindDuplicates();
  }

  const std::vector<InputFile>& files() const { return files_; }
  const std::vector<FileResult>& results() const { return results_; }
  const std::vector<uint64_t>& token_counts() const {
    return token_counts_;
  }  // by vocabulary position
  std::vector<int64_t> SubjectsOf(const std::string& split) const {
    std::vector<int64_t> ids;
    for (const Place& place : places_) {
      if (files_[place.file].split == split) ids.push_back(place.subject_id);
    }
    return ids;
  }

 private:
  void Work() {
    std::vector<uint64_t> counts(token_counts_.size(), 0);
    std::vector<Place> places;
    while (!failed_) {
      const size_t file = next_++;
      if (file >= files_.size()) break;
      results_[file].status = Convert(file, &counts, &places);
      if (!results_[file].status.ok()) failed_ = true;
      Tell(results_[file].input.bytes);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < counts.size(); ++i) token_counts_[i] += counts[i];
    places_.insert(places_.end(), places.begin(), places.end());
  }

  Status Convert(size_t file, std::vector<uint64_t>* counts, std::vector<Place>* places) {
    const InputFile& input = files_[file];
    FileResult& result = results_[file];
    ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<shard::ShardFileWriter> shard,
                          writer_.NewShard(input.split, input.number));
    const std::vector<Rendering>& renderings = cohort_.renderings();
    const auto sink = [&](uint64_t index, shard::Subject& subject,
                          const std::vector<uint32_t>& positions) -> Status {
      places->push_back(
          {subject.subject_id, static_cast<uint32_t>(file), static_cast<uint32_t>(index)});
      result.cases += subject.is_case ? 1 : 0;
      for (size_t i = 0; i < positions.size(); ++i) {
        const Rendering& rendering = renderings[positions[i]];
        ++(*counts)[positions[i]];
        result.static_events += subject.events[i].time_us == shard::kStatic ? 1 : 0;
        result.silent_events += rendering.phrase.kind == shard::PhraseKind::kSilent ? 1 : 0;
        result.unknown_events += rendering.unknown ? 1 : 0;
      }
      return shard->Add(subject);
    };
    ANAM_RETURN_IF_ERROR(cohort_.ReadSubjects(input, sink, &result.input));
    ANAM_ASSIGN_OR_RETURN(result.shard, shard->Finish());
    return absl::OkStatus();
  }

  void Tell(uint64_t bytes) {
    if (!progress_) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    done_bytes_ += bytes;
    progress_(done_bytes_, total_bytes_);
  }

  Status FindDuplicates() {
    std::sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) {
      return std::tie(a.subject_id, a.file, a.index) < std::tie(b.subject_id, b.file, b.index);
    });
    return RefuseDuplicates();
  }

  Status RefuseDuplicates() const {
    constexpr uint64_t kNamed = 5;
    uint64_t count = 0;
    std::string named;
    bool across_splits = false;
    for (size_t i = 1; i < places_.size(); ++i) {
      const Place &before = places_[i - 1], &now = places_[i];
      if (before.subject_id != now.subject_id) continue;
      across_splits = across_splits || files_[before.file].split != files_[now.file].split;
      if (++count > kNamed) continue;
      named +=
          Cat(named.empty() ? "" : "; ", now.subject_id, " (", files_[before.file].name,
              " subject ", before.index, ", ", files_[now.file].name, " subject ", now.index, ")");
    }
    if (count == 0) return absl::OkStatus();
    return InvalidArgument(cohort_.data().data_dir, ": ", count, " subject(s) occur twice",
                           across_splits ? ", also in different splits" : "",
                           ", expected each in one place: ", named, count > kNamed ? "; …" : "");
  }

  const Cohort& cohort_;
  const shard::SetWriter& writer_;
  const std::vector<InputFile> files_;
  const WorkProgress progress_;
  uint64_t total_bytes_ = 0, done_bytes_ = 0;
  std::vector<FileResult> results_;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  std::vector<uint64_t> token_counts_;
  std::vector<Place> places_;
};

// Those of them that belong to the part.
std::vector<InputFile> PartOf(const std::vector<InputFile>& files, const PrepareOptions& options) {
  if (options.parts == 0) return files;
  std::vector<InputFile> part;
  for (size_t i = options.part; i < files.size(); i += options.parts) part.push_back(files[i]);
  return part;
}

Status FillManifest(const Cohort& cohort, const Conversion& conversion,
                    const std::vector<std::string>& splits, const shard::SetWriter& writer,
                    shard::Manifest* manifest) {
  manifest->code_version = CodeVersion();
  manifest->profile = cohort.data().profile;
  manifest->unknown_tokens = cohort.data().unknown_tokens;
  manifest->rule_table_sha256 = RuleTableSha256();
  manifest->rules_sha256 = RulesSha256(cohort.data(), cohort.unlabelled());
  manifest->sites = cohort.labels().sites();
  manifest->inputs = cohort.tables();
  ANAM_RETURN_IF_ERROR(writer.WritePhrases(cohort.phrases(), manifest));
  for (const std::string& name : splits) {
    shard::SplitRecord& split = manifest->splits.emplace_back();
    split.name = name;
    for (size_t i = 0; i < conversion.files().size(); ++i) {
      if (conversion.files()[i].split != name) continue;
      const FileResult& result = conversion.results()[i];
      manifest->inputs.push_back(result.input);
      split.shards.push_back(result.shard);
      split.subjects += result.shard.subjects;
      split.events += result.shard.events;
      split.cases += result.cases;
      split.static_events += result.static_events;
      split.silent_events += result.silent_events;
      split.unknown_events += result.unknown_events;
    }
    ANAM_ASSIGN_OR_RETURN(split.subject_hashes,
                          writer.WriteSubjectHashes(name, conversion.SubjectsOf(name)));
  }
  manifest->digest = DigestOf(manifest->inputs, manifest->rules_sha256);
  return absl::OkStatus();
}

void CountTokens(const Cohort& cohort, const std::vector<uint64_t>& counts,
                 PrepareSummary* summary) {
  for (const LookupRole role :
       {LookupRole::kMedical, LookupRole::kLab, LookupRole::kRegion, LookupRole::kTime}) {
    LookupCoverage coverage{.role = role};
    for (size_t i = 0; i < counts.size(); ++i) {
      const Rendering& rendering = cohort.renderings()[i];
      if (rendering.role != role) continue;
      coverage.events += counts[i];
      coverage.translated += rendering.translated ? counts[i] : 0;
    }
    if (coverage.events == 0 || LookupOf(cohort.lookups(), role).size() == 0) continue;
    summary->coverage.push_back(coverage);
    summary->manifest.lookups.push_back(
        {Cat(NameOf(role), "_lookup"), coverage.events, coverage.translated});
  }
  uint64_t kinds = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    kinds += cohort.renderings()[i].unknown && counts[i] > 0 ? 1 : 0;
  }
  summary->unknown_kinds = kinds;
}

}  // namespace

StatusOr<std::vector<InputFile>> ListSplits(const std::string& data_dir,
                                            const std::vector<std::string>& splits) {
  std::vector<InputFile> files;
  for (const std::string& split : splits) {
    ANAM_ASSIGN_OR_RETURN(const std::vector<InputFile> listed, ListSplit(data_dir, split));
    files.insert(files.end(), listed.begin(), listed.end());
  }
  return files;
}

uint64_t BytesOf(const shard::Manifest& manifest) {
  uint64_t bytes = manifest.phrases.bytes + shard::ManifestText(manifest).size();
  for (const shard::SplitRecord& split : manifest.splits) {
    bytes += split.subject_hashes.bytes;
    for (const shard::ShardRecord& shard : split.shards) bytes += shard.bytes;
  }
  return bytes;
}

Status CheckSplits(const std::vector<std::string>& splits) {
  for (size_t i = 0; i < splits.size(); ++i) {
    const std::string& split = splits[i];
    if (split != "train" && split != "tuning" && split != "held_out") {
      return InvalidArgument("split ", split, ": expected train, tuning or held_out");
    }
    if (std::find(splits.begin(), splits.begin() + static_cast<long>(i), split) !=
        splits.begin() + static_cast<long>(i)) {
      return InvalidArgument("split ", split, ": named twice");
    }
  }
  return absl::OkStatus();
}

StatusOr<PrepareSummary> Prepare(const config::DataSection& data, const PrepareOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  ANAM_RETURN_IF_ERROR(CheckBuilt(data));
  std::vector<std::string> splits = options.splits;
  if (splits.empty()) {
    ANAM_ASSIGN_OR_RETURN(splits, PresentSplits(data.data_dir));
  }
  ANAM_RETURN_IF_ERROR(CheckSplits(splits));
  PrepareSummary summary;
  if (options.parts == 0 && PathExists(Cat(options.out, "/", shard::kManifestFile))) {
    ANAM_ASSIGN_OR_RETURN(const std::string digest,
                          InputDigest(data, splits, {}, options.unlabelled));
    ANAM_ASSIGN_OR_RETURN(summary.already_there,
                          IsIntactSet(options.out, digest, &summary.manifest));
    if (!summary.already_there) {
      return AlreadyExists(
          options.out,
          ": holds a shard set of other inputs or rules; choose another folder or remove it");
    }
    summary.bytes = BytesOf(summary.manifest);
    return summary;
  }
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<Cohort> cohort,
                        Cohort::Load(data, options.unlabelled));
  ANAM_ASSIGN_OR_RETURN(const std::vector<InputFile> files, ListSplits(data.data_dir, splits));
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<shard::SetWriter> writer,
                        shard::SetWriter::Create(options.out, cohort->labels().sites()));
  Conversion conversion(*cohort, *writer, PartOf(files, options), options.progress);
  ANAM_RETURN_IF_ERROR(conversion.Run(options.jobs));
  ANAM_RETURN_IF_ERROR(FillManifest(*cohort, conversion, splits, *writer, &summary.manifest));
  if (!options.expected_digest.empty() && summary.manifest.digest != options.expected_digest) {
    return FailedPrecondition(data.data_dir,
                              ": the input files changed while they were read; run it again");
  }
  CountTokens(*cohort, conversion.token_counts(), &summary);
  ANAM_RETURN_IF_ERROR(writer->Commit(summary.manifest));
  summary.bytes = BytesOf(summary.manifest);
  summary.notes = TableNotes(*cohort);
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

}  // namespace anamnesis::prep
