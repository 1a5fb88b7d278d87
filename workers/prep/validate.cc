// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/validate.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/io/file.h"
#include "workers/prep/cohort.h"
#include "workers/prep/prepare.h"
#include "workers/shard/manifest.h"
#include "workers/shard/reader.h"

namespace anamnesis::prep {
namespace {

constexpr size_t kShownFindings = 100;

// Subjects seen so far, to find those that occur twice.
struct SeenSubject {
  int64_t subject_id = 0;
  uint32_t split = 0;
  auto operator<=>(const SeenSubject&) const = default;
};

void CheckDuplicates(const std::vector<std::string>& splits, std::vector<SeenSubject> seen,
                     ValidationReport* report) {
  std::sort(seen.begin(), seen.end());
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> pairs;
  for (size_t i = 1; i < seen.size(); ++i) {
    if (seen[i - 1].subject_id == seen[i].subject_id) ++pairs[{seen[i - 1].split, seen[i].split}];
  }
  for (const auto& [pair, count] : pairs) {
    report->AddFinding(
        pair.first == pair.second
            ? InvalidArgument(splits[pair.first], ": ", count, " subject(s) occur twice")
            : InvalidArgument(count, " subject(s) are in both ", splits[pair.first], " and ",
                              splits[pair.second]));
  }
}

}  // namespace

void ValidationReport::AddFinding(const Status& status) {
  if (num_findings++ < kShownFindings) findings.push_back(MessageOf(status));
}

std::string ValidationReport::Text() const {
  std::string text;
  for (const std::string& fact : facts) text += fact + "\n";
  for (const std::string& finding : findings) text += "finding: " + finding + "\n";
  if (num_findings > findings.size())
    text += Cat("and ", num_findings - findings.size(), " findings more\n");
  return text + (num_findings == 0 ? "valid\n" : Cat("invalid: ", num_findings, " finding(s)\n"));
}

bool LooksLikeShards(const std::string& path) {
  return PathExists(Cat(path, "/", shard::kManifestFile));
}

StatusOr<config::DataSection> SeedLayoutOf(const std::string& directory) {
  config::DataSection data;
  data.data_dir = directory;
  data.vocab_filepath = directory + "/vocab.csv";
  const std::pair<const char*, std::string*> optional_tables[] = {
      {"/labels.csv", &data.labels_filepath},
      {"/medical_lookup.csv", &data.medical_lookup_filepath},
      {"/lab_lookup.csv", &data.lab_lookup_filepath},
      {"/region_lookup.csv", &data.region_lookup_filepath},
      {"/time_lookup.csv", &data.time_lookup_filepath}};
  for (const auto& [name, path] : optional_tables) {
    if (PathExists(directory + name)) *path = directory + name;
  }
  if (!IsDirectory(directory) || !PathExists(data.vocab_filepath)) {
    return InvalidArgument(
        directory,
        ": is no folder in the seed layout (it has no vocab.csv) and no shard set (it has no ",
        shard::kManifestFile, ")");
  }
  return data;
}

ValidationReport ValidateSeedLayout(const config::DataSection& data, bool lenient) {
  ValidationReport report;
  const StatusOr<std::unique_ptr<Cohort>> cohort = Cohort::Load(data);
  if (!cohort.ok()) {
    report.AddFinding(cohort.status());
    return report;
  }
  const StatusOr<std::vector<std::string>> splits = PresentSplits(data.data_dir);
  if (!splits.ok()) {
    report.AddFinding(splits.status());
    return report;
  }
  std::vector<SeenSubject> seen;
  Leniency leniency;
  const Cohort::OnBadSubject on_bad_subject = [&](const Status& status) {
    report.AddFinding(status);
    return absl::OkStatus();
  };
  for (uint32_t split = 0; split < splits->size(); ++split) {
    uint64_t num_subjects = 0, num_events = 0, num_unknown = 0;
    const auto sink = [&](uint64_t, shard::Subject& subject,
                          const std::vector<uint32_t>& positions) -> Status {
      ++num_subjects;
      num_events += positions.size();
      for (const uint32_t position : positions)
        num_unknown += (*cohort)->renderings()[position].unknown ? 1 : 0;
      seen.push_back({subject.subject_id, split});
      return absl::OkStatus();
    };
    const StatusOr<std::vector<InputFile>> files = ListSplit(data.data_dir, (*splits)[split]);
    if (!files.ok()) {
      report.AddFinding(files.status());
      continue;
    }
    for (const InputFile& file : *files) {
      const Status status = (*cohort)->ReadSubjects(file, sink, nullptr,
                                                    lenient ? &leniency : nullptr, &on_bad_subject);
      if (!status.ok()) report.AddFinding(status);
    }
    report.facts.push_back(Cat((*splits)[split], ": ", files->size(), " files, ", num_subjects,
                               " subjects, ", num_events, " events, ", num_unknown,
                               " of them without a rule"));
  }
  CheckDuplicates(*splits, std::move(seen), &report);
  for (std::string& note : TableNotes(**cohort)) report.facts.push_back(std::move(note));
  if (leniency.num_unsorted > 0) {
    report.facts.push_back(
        Cat("passed over: ", leniency.num_unsorted, " subjects with times out of order"));
  }
  if (leniency.num_unlabelled > 0) {
    report.facts.push_back(Cat("passed over: ", leniency.num_unlabelled,
                               " subjects without a label, taken for controls"));
  }
  return report;
}

ValidationReport ValidateShards(const std::string& directory) {
  ValidationReport report;
  const StatusOr<std::unique_ptr<shard::ShardSet>> set = shard::ShardSet::Open(directory);
  if (!set.ok()) {
    report.AddFinding(set.status());
    return report;
  }
  shard::Subject subject;
  for (const shard::SplitSummary& split : (*set)->splits()) {
    const Status verified = (*set)->Verify({split.name});
    if (!verified.ok()) report.AddFinding(verified);
    uint64_t num_events = 0;
    Status status;
    for (uint64_t i = 0; i < split.num_subjects && status.ok(); ++i) {
      status = (*set)->Read(split.name, i, &subject);
      if (status.ok()) num_events += subject.events.size();
    }
    if (status.ok() && num_events != split.num_events) {
      status = DataLoss(directory, ": ", split.name, " has ", num_events,
                        " events, the manifest says ", split.num_events);
    }
    if (!status.ok() && verified.ok()) report.AddFinding(status);
    report.facts.push_back(
        Cat(split.name, ": ", split.num_subjects, " subjects, ", split.num_events, " events"));
  }
  report.facts.push_back(Cat("phrases: ", (*set)->phrases().size()));
  return report;
}

}  // namespace anamnesis::prep
