// SPDX-License-Identifier: Apache-2.0
// What a classifier's scores on tuning and held_out say, for the log of an evaluation and for the
// report at the end. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "common/io/json.h"
#include "workers/metrics/scores.h"
#include "workers/train/cohort_report.h"

namespace anamnesis::train {

// The metrics that are defined, by name ("loss", "auroc", "f1_macro", …).
std::map<std::string, double> MetricsOf(const metrics::ScoredSplit& split);

// Either split may be absent.
struct EvaluationInput {
  const std::optional<metrics::ScoredSplit>& tuning;
  const std::optional<metrics::ScoredSplit>& held_out;
  uint64_t seed = 42;  // of the bootstrap
  const CohortReport* cohort = nullptr;
};

// evaluation.json: the reports of both splits with bootstrap intervals and subgroups, and the alert
// threshold that was chosen on tuning and used on both; under "baseline" the same of the
// bag-of-codes baseline, without subgroups, or the reason why there is none. Without tuning the
// thresholds are chosen on held_out, and the report says so.
StatusOr<Json> EvaluationJson(const EvaluationInput& input);

// The few figures of evaluation.json that are told wherever the run is: loss, accuracy, auroc,
// auprc and the ends of their intervals, as "held_out_auroc", "held_out_auroc_low",
// "tuning_auroc", …, and of the baseline as "baseline_held_out_auroc", …; those that are defined.
std::map<std::string, double> FiguresOf(const Json& evaluation);

}  // namespace anamnesis::train
