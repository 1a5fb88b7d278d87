// SPDX-License-Identifier: Apache-2.0
// Raw data to a shard set, file by file on several threads. Memory: a pickle a thread, the tables,
// and 16 bytes a subject.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/work_progress.h"
#include "common/config/job_config.h"
#include "workers/prep/cohort.h"
#include "workers/shard/manifest.h"

namespace anamnesis::prep {

struct PrepareOptions {
  std::string out{};                  // the shard set's directory
  std::vector<std::string> splits{};  // empty: those whose folders are there
  int jobs = 1;
  std::string expected_digest{};  // not empty: fails when the inputs turn out to be others
  WorkProgress progress{};        // in bytes of pickles; may be empty
  bool unlabelled = false;        // take subjects that labels has no row of, as controls
  // Not 0: `out` becomes one of so many parts, of every parts-th file from the part-th on
  // (merge_parts.h).
  uint64_t part = 0, parts = 0;
};

struct LookupCoverage {
  LookupRole role = LookupRole::kNone;
  uint64_t events = 0;      // that asked this lookup
  uint64_t translated = 0;  // that it had a term for
};

struct PrepareSummary {
  bool already_there = false;  // an intact set of the same inputs and rules: nothing was written
  shard::Manifest manifest{};
  uint64_t bytes = 0;  // of the whole set
  // Distinct tokens in the data without a rule; nothing where that is not known.
  std::optional<uint64_t> unknown_kinds{};
  std::vector<LookupCoverage> coverage{};
  std::vector<std::string> notes{};  // of the tables
  double seconds = 0;
};

// kAlreadyExists when `out` holds something else. The set's bytes do not depend on `jobs`.
StatusOr<PrepareSummary> Prepare(const config::DataSection& data, const PrepareOptions& options);

// What names a set: inputs (tables and pickles, by content), rules, format and code. Opens only the
// folders of `splits`. Progress is in bytes of inputs, and may be empty.
StatusOr<std::string> InputDigest(const config::DataSection& data,
                                  const std::vector<std::string>& splits,
                                  const WorkProgress& progress = {}, bool unlabelled = false);

// Told by EnsureShards: of "inputs" (their digest), then of "shards" where they are made.
using OnPrepPhase = std::function<void(const char* phase, uint64_t done, uint64_t total)>;

// The set for these inputs and splits under `<data_dir>/shards/<digest>/`, made when it is not
// there or not intact; locked by digest, so that two callers do not make it twice. Returns its
// directory.
StatusOr<std::string> EnsureShards(const config::DataSection& data,
                                   const std::vector<std::string>& splits,
                                   const std::string& data_dir, int jobs,
                                   const OnPrepPhase& on_phase = {}, bool unlabelled = false);

// The splits that there are, each once; their files in order; and the size of a set.
Status CheckSplits(const std::vector<std::string>& splits);
StatusOr<std::vector<InputFile>> ListSplits(const std::string& data_dir,
                                            const std::vector<std::string>& splits);
uint64_t BytesOf(const shard::Manifest& manifest);

// The lines for the user, on several lines, without subjects' data.
std::string DescribeSummary(const PrepareSummary& summary);

// What a user should know about the tables (collisions, missing dates), a line each.
std::vector<std::string> TableNotes(const Cohort& cohort);

}  // namespace anamnesis::prep
