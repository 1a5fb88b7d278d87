// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/ranking.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace anamnesis::metrics {
namespace {

constexpr char kNoPositives[] = "no positives";
constexpr char kNoNegatives[] = "no negatives";

double Divide(int64_t numerator, int64_t denominator) {
  return static_cast<double>(numerator) / static_cast<double>(denominator);
}

}  // namespace

Ranking::Ranking(std::span<const double> scores, std::vector<uint8_t> positive)
    : order_(scores.size()), positive_(std::move(positive)) {
  std::iota(order_.begin(), order_.end(), 0U);
  std::stable_sort(order_.begin(), order_.end(),
                   [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
  for (size_t i = 0; i < order_.size(); ++i) {
    if (i + 1 == order_.size() || scores[order_[i]] != scores[order_[i + 1]]) {
      ends_.push_back(static_cast<uint32_t>(i + 1));
    }
  }
}

template <typename Visit>
void Ranking::ForEachGroup(Weights weights, Visit visit) const {
  size_t at = 0;
  for (const uint32_t end : ends_) {
    Group group;
    for (; at < end; ++at) {
      const uint32_t row = order_[at];
      (positive_[row] != 0 ? group.positives : group.negatives) += WeightOf(weights, row);
    }
    visit(group);
  }
}

Ranking::Group Ranking::Totals(Weights weights) const {
  Group totals;
  ForEachGroup(weights, [&](const Group& group) {
    totals.positives += group.positives;
    totals.negatives += group.negatives;
  });
  return totals;
}

Metric Ranking::Auroc(Weights weights) const {
  int64_t above = 0, below = 0;  // positives and negatives seen so far
  int64_t twice_wins = 0;        // pairs that a positive wins count 2, ties 1
  ForEachGroup(weights, [&](const Group& group) {
    twice_wins += group.negatives * (2 * above + group.positives);
    above += group.positives;
    below += group.negatives;
  });
  if (above + below == 0) return Metric::Absent(kNoRows);
  if (above == 0) return Metric::Absent(kNoPositives);
  if (below == 0) return Metric::Absent(kNoNegatives);
  return Metric::Of(Divide(twice_wins, 2 * above * below));
}

Metric Ranking::Auprc(Weights weights) const {
  int64_t hits = 0, alerts = 0;
  CompensatedSum area;  // in units of 1 / positives
  ForEachGroup(weights, [&](const Group& group) {
    hits += group.positives;
    alerts += group.positives + group.negatives;
    if (group.positives == 0) return;
    area.Add(static_cast<double>(group.positives) * Divide(hits, alerts));
  });
  if (alerts == 0) return Metric::Absent(kNoRows);
  if (hits == 0) return Metric::Absent(kNoPositives);
  return Metric::Of(area.value() / static_cast<double>(hits));
}

Metric Ranking::AurocStandardError() const {
  const Metric auroc = Auroc();
  if (!auroc.value) return auroc;
  const Group totals = Totals({});
  if (totals.positives < 2) return Metric::Absent("a single positive");
  if (totals.negatives < 2) return Metric::Absent("a single negative");
  const auto num_positives = static_cast<double>(totals.positives);
  const auto num_negatives = static_cast<double>(totals.negatives);
  CompensatedSum of_positives, of_negatives;
  Group seen;
  ForEachGroup({}, [&](const Group& group) {
    const auto positives = static_cast<double>(group.positives);
    const auto negatives = static_cast<double>(group.negatives);
    seen.negatives += group.negatives;
    // The share of negatives below a positive of this group, and of positives above a negative.
    const double below = static_cast<double>(totals.negatives - seen.negatives) + negatives / 2;
    const double above = static_cast<double>(seen.positives) + positives / 2;
    seen.positives += group.positives;
    of_positives.Add(positives * std::pow(below / num_negatives - *auroc.value, 2));
    of_negatives.Add(negatives * std::pow(above / num_positives - *auroc.value, 2));
  });
  const double variance = of_positives.value() / (num_positives - 1) / num_positives +
                          of_negatives.value() / (num_negatives - 1) / num_negatives;
  return Metric::Of(std::sqrt(variance));
}

bool IsAboveCeiling(double auroc, double standard_error, double ceiling) {
  return auroc > ceiling + 2 * standard_error;
}

}  // namespace anamnesis::metrics
