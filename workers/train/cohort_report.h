// SPDX-License-Identifier: Apache-2.0
// What stands beside a classifier's own scores: the subgroups that the data know, and the
// bag-of-codes baseline, a logistic regression on the phrases of the train split under the same
// cut. Its regularisation is chosen on tuning, and it scores the very rows that the model scores.
// Made by one rank from the shards, so that it is the same for any number of ranks. Pure but for
// the files it reads.
//
// Memory: of train, every k-th subject in split order, k the smallest with at most
// `max_train_subjects` subjects and `max_train_events` events on the average (24 bytes each);
// of the other splits one chunk of subjects, a row each, and their groups.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/metrics/report.h"
#include "workers/metrics/scores.h"
#include "workers/stream/stream_spec.h"

namespace anamnesis::train {

struct CohortReportOptions {
  std::string shards_directory;
  stream::StreamSpec stream;
  int num_classes = 2;
  std::string train_split = "train";
  std::string tuning_split = "";    // "": there is none
  std::string held_out_split = "";  // likewise
  int64_t max_train_subjects = 20'000;
  int64_t max_train_events = 8'000'000;
};

struct Baseline {
  std::string reason;  // why there is none: train lacks a class, ...; "" where there is one
  double c = 1;        // inverse strength of the regularisation
  bool chosen_on_tuning = false;
  int64_t features = 0, train_subjects = 0;
  std::optional<metrics::ScoredSplit> tuning, held_out;
};

struct CohortReport {
  // "site", "sex", "age": those that some subject of tuning or held_out has.
  std::vector<metrics::Grouping> groupings;
  Baseline baseline;
};

// Errors of the shards. A baseline that cannot be fitted is no error.
StatusOr<CohortReport> MakeCohortReport(const CohortReportOptions& options);

}  // namespace anamnesis::train
