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

namespace anamnesis::train {

// The metrics that are defined, by name ("loss", "auroc", "f1_macro", …).
std::map<std::string, double> MetricsOf(const metrics::ScoredSplit& split);

// evaluation.json: the reports of both splits with bootstrap intervals, and the alert threshold
// that was chosen on tuning and used on both. Either may be absent; without tuning the threshold is
// chosen on held_out, and the report says so.
StatusOr<Json> EvaluationJson(const std::optional<metrics::ScoredSplit>& tuning,
                              const std::optional<metrics::ScoredSplit>& held_out, uint64_t seed);

}  // namespace anamnesis::train
