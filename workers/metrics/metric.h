// SPDX-License-Identifier: Apache-2.0
// A metric's value, or the reason why it has none: what is not defined is never a NaN.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace anamnesis::metrics {

struct Metric {
  std::optional<double> value;
  std::string reason;  // why there is no value; empty where there is one

  static Metric Of(double value) { return {value, ""}; }
  static Metric Absent(std::string reason) { return {std::nullopt, std::move(reason)}; }
  bool operator==(const Metric&) const = default;
};

// The reason that most metrics of an empty split share.
inline constexpr char kNoRows[] = "no rows";

// How often a row counts, [N]; empty: once each.
using Weights = std::span<const int32_t>;
inline int64_t WeightOf(Weights weights, size_t row) { return weights.empty() ? 1 : weights[row]; }

// A sum whose rounding error does not grow with the number of terms (Neumaier 1974). The order of
// the terms still matters for the last bit: our callers add in the order of subjects.
class CompensatedSum {
 public:
  void Add(double term) {
    const double next = sum_ + term;
    lost_ += std::abs(sum_) >= std::abs(term) ? (sum_ - next) + term : (term - next) + sum_;
    sum_ = next;
  }
  double value() const { return sum_ + lost_; }

 private:
  double sum_ = 0;
  double lost_ = 0;
};

}  // namespace anamnesis::metrics
