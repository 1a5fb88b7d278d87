// SPDX-License-Identifier: Apache-2.0
// The file of predictions (docs/prediction.md): CSV by RFC 4180 with the columns
//   subject_id,prediction_time,label,predicted_label,probability_<class>…
// a line a subject. Classes are numbers, 0 … C − 1, in the order of the probability columns.
// Pure but for the file; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/metrics/scores.h"

namespace anamnesis::metrics {

// Of two classes without a threshold.
inline constexpr double kEvenOdds = 0.5;

// Row i belongs to row i of the scores.
struct PredictedSubject {
  int64_t subject_id = 0;
  std::optional<int64_t> time_us;  // of the last event that the model read, since 1970 UTC
  std::optional<int32_t> label;    // where it is known
};

// Two classes: 1 where the risk is at or above the threshold (kEvenOdds without one). More: the
// class with the largest probability, the first of equal ones.
int32_t PredictedLabel(const ScoredSplit& scores, int64_t row, std::optional<double> threshold);

// The whole text. Numbers are the shortest that read back to the same bits; times are ISO 8601 in
// UTC without a zone, as MEDS has them.
std::string PredictionText(const std::vector<PredictedSubject>& subjects, const ScoredSplit& scores,
                           const std::vector<std::string>& class_names,
                           std::optional<double> threshold);

}  // namespace anamnesis::metrics
