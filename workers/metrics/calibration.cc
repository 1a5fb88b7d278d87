// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace anamnesis::metrics {
namespace {

double CrossEntropy(std::span<const double> logits_C, int32_t label) {
  const double largest = *std::max_element(logits_C.begin(), logits_C.end());
  // The largest term is 1: log1p of the others keeps a small loss exact.
  double others = 0;
  bool skipped = false;
  for (const double logit : logits_C) {
    if (!skipped && logit == largest) {
      skipped = true;
    } else {
      others += std::exp(logit - largest);
    }
  }
  return std::log1p(others) + (largest - logits_C[static_cast<size_t>(label)]);
}

}  // namespace

Metric Perplexity(double loss) {
  const double value = std::exp(loss);
  if (!std::isfinite(value)) return Metric::Absent("exp(loss) is beyond the range of numbers");
  return Metric::Of(value);
}

Calibration::Calibration(const ScoredSplit& split) {
  rows_.reserve(split.labels().size());
  const bool binary = split.num_classes() == 2;
  for (int64_t at = 0; at < split.num_rows(); ++at) {
    const auto i = static_cast<size_t>(at);
    const int32_t label = split.labels()[i], predicted = split.predicted()[i];
    const auto probabilities_C = split.probabilities(at);
    Row row;
    row.loss = CrossEntropy(split.logits(at), label);
    for (size_t c = binary ? 1 : 0; c < probabilities_C.size(); ++c) {
      const double truth = static_cast<size_t>(label) == c ? 1 : 0;
      row.brier += (probabilities_C[c] - truth) * (probabilities_C[c] - truth);
    }
    row.confidence = binary ? probabilities_C[1] : probabilities_C[static_cast<size_t>(predicted)];
    row.came_true = binary ? label == 1 : label == predicted;
    row.bin = std::min(kCalibrationBins - 1, static_cast<int>(row.confidence * kCalibrationBins));
    rows_.push_back(row);
  }
}

Metric Calibration::MeanOf(double Row::*term, Weights weights) const {
  CompensatedSum sum;
  int64_t count = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const int64_t weight = WeightOf(weights, i);
    count += weight;
    sum.Add(static_cast<double>(weight) * (rows_[i].*term));
  }
  if (count == 0) return Metric::Absent(kNoRows);
  const double mean = sum.value() / static_cast<double>(count);
  if (!std::isfinite(mean)) return Metric::Absent("the sum is beyond the range of numbers");
  return Metric::Of(mean);
}

Metric Calibration::Loss(Weights weights) const { return MeanOf(&Row::loss, weights); }

Metric Calibration::Brier(Weights weights) const { return MeanOf(&Row::brier, weights); }

Metric Calibration::Ece(Weights weights) const {
  std::array<CompensatedSum, kCalibrationBins> confidences;
  std::array<int64_t, kCalibrationBins> came_true = {};
  int64_t count = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const int64_t weight = WeightOf(weights, i);
    const auto bin = static_cast<size_t>(rows_[i].bin);
    count += weight;
    confidences[bin].Add(static_cast<double>(weight) * rows_[i].confidence);
    came_true[bin] += rows_[i].came_true ? weight : 0;
  }
  if (count == 0) return Metric::Absent(kNoRows);
  // In a bin, rows × |mean − share| is |sum of confidences − number that came true|.
  CompensatedSum gaps;
  for (size_t bin = 0; bin < confidences.size(); ++bin) {
    gaps.Add(std::abs(confidences[bin].value() - static_cast<double>(came_true[bin])));
  }
  return Metric::Of(gaps.value() / static_cast<double>(count));
}

}  // namespace anamnesis::metrics
