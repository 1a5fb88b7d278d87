// SPDX-License-Identifier: Apache-2.0
// The report of a preparation: counts only, no subject and no text.
#include <cstdio>
#include <iomanip>

#include "workers/prep/prepare.h"

namespace anamnesis::prep {
namespace {

std::string Share(uint64_t part, uint64_t whole) {
  return Cat(std::fixed, std::setprecision(1),
             100.0 * static_cast<double>(part) / static_cast<double>(whole), " %");
}

}  // namespace

std::string DescribeSummary(const PrepareSummary& summary) {
  const shard::Manifest& manifest = summary.manifest;
  uint64_t subjects = 0, events = 0, unknown_events = 0;
  std::string text;
  for (const shard::SplitRecord& split : manifest.splits) {
    text +=
        Cat(split.name, ": ", split.subjects, " subjects (", split.cases, " cases), ", split.events,
            " events (", split.static_events, " static, ", split.silent_events, " without text)\n");
    subjects += split.subjects;
    events += split.events;
    unknown_events += split.unknown_events;
  }
  text += Cat("total: ", subjects, " subjects, ", events, " events, ", manifest.num_phrases,
              " phrases, ", summary.bytes, " bytes");
  if (events > 0) {
    text +=
        Cat(std::fixed, std::setprecision(2), " (",
            static_cast<double>(summary.bytes) / static_cast<double>(events), " bytes an event)");
  }
  text += "\n";
  if (summary.already_there)
    return text + "already there, intact, from the same inputs and rules\n";
  const std::string kinds =
      summary.unknown_kinds ? Cat(" of ", *summary.unknown_kinds, " kinds") : "";
  text += Cat("tokens without a rule: ", unknown_events, " events", kinds,
              " (unknown_tokens: ", manifest.unknown_tokens, ")\n");
  for (const LookupCoverage& coverage : summary.coverage) {
    text += Cat(NameOf(coverage.role), " lookup: ", coverage.translated, " of ", coverage.events,
                " events (", Share(coverage.translated, coverage.events), ")\n");
  }
  for (const std::string& note : summary.notes) text += note + "\n";
  if (summary.seconds > 0) {
    text +=
        Cat(std::fixed, std::setprecision(2), "prepared in ", summary.seconds, " s (",
            std::setprecision(0), static_cast<double>(events) / summary.seconds, " events/s)\n");
  }
  return text;
}

std::vector<std::string> TableNotes(const Cohort& cohort) {
  std::vector<std::string> notes;
  for (const LookupRole role :
       {LookupRole::kMedical, LookupRole::kLab, LookupRole::kRegion, LookupRole::kTime}) {
    const Lookup& lookup = LookupOf(cohort.lookups(), role);
    if (lookup.num_fold_collisions() > 0) {
      notes.push_back(Cat("note: ", NameOf(role), " lookup: ", lookup.num_fold_collisions(),
                          " codes differ from another only in case and have another term; they are "
                          "matched in their own case only"));
    }
    if (lookup.num_conflicting_rows() > 0) {
      notes.push_back(Cat("note: ", NameOf(role), " lookup: ", lookup.num_conflicting_rows(),
                          " rows repeat a code with another term; the last one counts"));
    }
    if (lookup.num_empty_terms() > 0) {
      notes.push_back(Cat("note: ", NameOf(role), " lookup: ", lookup.num_empty_terms(),
                          " rows have no term and are passed over"));
    }
  }
  if (cohort.data().labels_filepath.empty()) {
    notes.push_back(
        "note: no data.labels_filepath: every subject counts as a control and is not cut");
  }
  uint64_t bad_dates = 0, missing_dates = 0;
  for (const Label& label : cohort.labels().rows()) {
    bad_dates += label.is_case && label.bad_cancer_date ? 1 : 0;
    missing_dates += label.is_case && !label.bad_cancer_date && !label.has_cancer_date ? 1 : 0;
  }
  if (bad_dates + missing_dates > 0) {
    notes.push_back(Cat("note: ", missing_dates, " cases have no cancerdate and ", bad_dates,
                        " one that cannot be read; data.on_missing_date decides about them"));
  }
  return notes;
}

}  // namespace anamnesis::prep
