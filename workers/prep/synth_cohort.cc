// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/synth_cohort.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <vector>

#include "common/io/file.h"
#include "workers/prep/synth_pickle.h"
#include "workers/prep/synth_subject.h"

namespace anamnesis::prep {
namespace {

constexpr uint64_t kSubjectsPerFile = 1'000;
constexpr uint64_t kLabelBlockBytes = 1 << 20;

std::string DateOfDay(int64_t day) {
  const std::chrono::year_month_day date{
      std::chrono::sys_days{std::chrono::days{static_cast<int>(day)}}};
  char text[40];
  std::snprintf(text, sizeof(text), "%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text;
}

// Token id by position in the world's tokens: the three special ones keep theirs, the others follow
// by falling count, equal counts in the world's order.
std::vector<int64_t> IdsByCount(const std::vector<uint64_t>& counts) {
  constexpr size_t kNumSpecial = 3;
  std::vector<uint32_t> order(counts.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin() + kNumSpecial, order.end(),
                   [&](uint32_t a, uint32_t b) { return counts[a] > counts[b]; });
  std::vector<int64_t> ids(counts.size());
  for (size_t i = 0; i < order.size(); ++i) ids[order[i]] = static_cast<int64_t>(i);
  return ids;
}

Status WriteVocabulary(const SynthWorld& world, const std::vector<uint64_t>& counts,
                       const std::vector<int64_t>& ids, const std::string& directory) {
  std::vector<std::string> rows(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    rows[static_cast<size_t>(ids[i])] = Cat(ids[i], ",", world.tokens()[i], ",", counts[i], "\n");
  }
  std::string content = "token,str,count\n";
  for (const std::string& row : rows) content += row;
  return WriteFileDurably(directory + "/vocab.csv", content);
}

Status WriteLookup(const std::vector<CodeTerm>& terms, const std::string& path) {
  std::string content = "code,term\n";
  for (const auto& [code, term] : terms) content += Cat(code, ",", term, "\n");
  return WriteFileDurably(path, content);
}

// The pickles of one split, a file at a time.
class SplitWriter {
 public:
  SplitWriter(std::string folder, const std::vector<int64_t>& ids)
      : folder_(std::move(folder)), ids_(ids) {}

  Status Add(const SynthSubject& subject) {
    tokens_.clear();
    times_s_.clear();
    for (const SynthEvent& event : subject.events) {
      tokens_.push_back(ids_[event.token]);
      times_s_.push_back(static_cast<double>(event.time_s));
    }
    pickle_.AddSubject(subject.subject_id, tokens_, times_s_);
    return pickle_.num_subjects() < kSubjectsPerFile ? absl::OkStatus() : Flush();
  }

  Status Flush() {
    if (pickle_.num_subjects() == 0) return absl::OkStatus();
    return WriteFileDurably(Cat(folder_, "/", num_files_++, ".pkl"), pickle_.Finish());
  }

 private:
  std::string folder_;
  const std::vector<int64_t>& ids_;
  SeedPickle pickle_;
  uint64_t num_files_ = 0;
  std::vector<int64_t> tokens_;
  std::vector<double> times_s_;
};

void Count(const SynthWorld& world, const SynthSubject& subject, SynthSplit* split) {
  ++split->num_subjects;
  split->num_cases += subject.is_case ? 1 : 0;
  split->num_events += subject.events.size();
  split->num_phrases += subject.num_visible_phrases;
  split->log_probability += synth::LogProbability(world, subject);
}

std::string LabelRow(const SynthSubject& subject) {
  if (!subject.is_case) return Cat(subject.subject_id, ",0,,\n");
  return Cat(subject.subject_id, ",1,", synth::kSites[subject.site], ",",
             DateOfDay(subject.cancer_day), "\n");
}

}  // namespace

StatusOr<std::map<std::string, SynthSplit>> WriteSynthCohort(const SynthWorld& world,
                                                             uint64_t num_subjects, uint64_t seed,
                                                             const std::string& directory) {
  std::vector<uint64_t> counts(world.tokens().size());
  for (uint64_t i = 0; i < num_subjects; ++i) {
    for (const SynthEvent& event : DrawSubject(world, seed, i).events) ++counts[event.token];
  }
  const std::vector<int64_t> ids = IdsByCount(counts);
  ANAM_RETURN_IF_ERROR(WriteVocabulary(world, counts, ids, directory));
  ANAM_RETURN_IF_ERROR(WriteLookup(world.medical_terms(), directory + "/medical_lookup.csv"));
  ANAM_RETURN_IF_ERROR(WriteLookup(world.lab_terms(), directory + "/lab_lookup.csv"));

  std::map<std::string, SynthSplit> splits;
  std::map<std::string, SplitWriter> writers;
  for (const char* split : {"train", "tuning", "held_out"}) {
    const std::string folder = Cat(directory, "/", split);
    ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
    writers.emplace(split, SplitWriter(folder, ids));
  }
  ANAM_ASSIGN_OR_RETURN(StagedFile labels, StagedFile::Create(directory + "/labels.csv"));
  std::string rows = "subject_id,is_case,site,cancerdate\n";
  for (uint64_t i = 0; i < num_subjects; ++i) {
    const SynthSubject subject = DrawSubject(world, seed, i);
    const std::string split = SplitOfIndex(i);
    Count(world, subject, &splits[split]);
    ANAM_RETURN_IF_ERROR(writers.at(split).Add(subject));
    rows += LabelRow(subject);
    if (rows.size() < kLabelBlockBytes && i + 1 < num_subjects) continue;
    ANAM_RETURN_IF_ERROR(labels.Append(rows));
    rows.clear();
  }
  for (auto& [name, writer] : writers) ANAM_RETURN_IF_ERROR(writer.Flush());
  ANAM_RETURN_IF_ERROR(labels.Commit());
  return splits;
}

}  // namespace anamnesis::prep
