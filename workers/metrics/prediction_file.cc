// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/prediction_file.h"

#include <charconv>

#include "absl/time/time.h"
#include "common/base/check.h"

namespace anamnesis::metrics {
namespace {

std::string Shortest(double value) {
  char text[64];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  ANAM_CHECK(error == std::errc());
  return std::string(text, end);
}

// A field with a comma, a quote or a line break stands in quotes.
std::string Field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string TimeText(int64_t time_us) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*S", absl::FromUnixMicros(time_us),
                          absl::UTCTimeZone());
}

}  // namespace

int32_t PredictedLabel(const ScoredSplit& scores, int64_t row, std::optional<double> threshold) {
  const auto at = static_cast<size_t>(row);
  if (scores.num_classes() != 2) return scores.predicted()[at];
  return scores.risks()[at] >= threshold.value_or(kEvenOdds) ? 1 : 0;
}

std::string PredictionText(const std::vector<PredictedSubject>& subjects, const ScoredSplit& scores,
                           const std::vector<std::string>& class_names,
                           std::optional<double> threshold) {
  ANAM_CHECK(static_cast<int64_t>(subjects.size()) == scores.num_rows());
  ANAM_CHECK(class_names.size() == static_cast<size_t>(scores.num_classes()));
  std::string text = "subject_id,prediction_time,label,predicted_label";
  for (const std::string& name : class_names) text += "," + Field("probability_" + name);
  text += "\n";
  for (int64_t row = 0; row < scores.num_rows(); ++row) {
    const PredictedSubject& subject = subjects[static_cast<size_t>(row)];
    text += std::to_string(subject.subject_id) + ",";
    if (subject.time_us) text += TimeText(*subject.time_us);
    text += ",";
    if (subject.label) text += std::to_string(*subject.label);
    text += "," + std::to_string(PredictedLabel(scores, row, threshold));
    for (const double probability : scores.probabilities(row)) text += "," + Shortest(probability);
    text += "\n";
  }
  return text;
}

}  // namespace anamnesis::metrics
