// SPDX-License-Identifier: Apache-2.0
// The rows of a split that metrics are made of: subject, label and a logit per class. Ranks collect
// Rows; a ScoredSplit of all ranks' rows is sorted, so that nothing below depends on which rank had
// which row.
// Shapes: N rows, C classes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::metrics {

// As they come; thread-compatible.
struct Rows {
  int num_classes = 0;                 // C
  std::vector<int64_t> subjects = {};  // [N]
  std::vector<int32_t> labels = {};    // [N]
  std::vector<double> logits_NC = {};  // [N, C]

  void Add(int64_t subject, int32_t label, std::span<const double> logits_C);
  int64_t num_rows() const { return static_cast<int64_t>(subjects.size()); }
};

// Immutable: thread-safe.
class ScoredSplit {
 public:
  // The rows of all parts (the ranks'), sorted by subject, then label, then logits. A subject may
  // have several rows. kInvalidArgument names the subject of a label outside 0 … C − 1 or of a
  // logit that is not finite; also for C < 2, parts that disagree about C and arrays of unequal
  // length. No rows at all is right.
  static StatusOr<ScoredSplit> Create(const std::vector<Rows>& parts);

  int num_classes() const { return num_classes_; }
  int64_t num_rows() const { return static_cast<int64_t>(subjects_.size()); }
  int64_t num_subjects() const;
  const std::vector<int64_t>& subjects() const { return subjects_; }  // [N], ascending
  const std::vector<int32_t>& labels() const { return labels_; }      // [N]
  std::span<const double> logits(int64_t row) const { return RowOf(logits_NC_, row); }  // [C]
  std::span<const double> probabilities(int64_t row) const {
    return RowOf(softmax_NC_, row);
  }  // [C]
  // The class with the largest logit, the first of equal ones.
  const std::vector<int32_t>& predicted() const { return predicted_; }  // [N]
  // What alerts go by: the probability of not being class 0 (for C = 2 that of class 1).
  const std::vector<double>& risks() const { return risks_; }  // [N]
  int64_t num_positives() const;                               // rows whose label is not 0

  // The rows whose subject is wanted.
  ScoredSplit Select(const std::function<bool(int64_t subject)>& wanted) const;

 private:
  std::span<const double> RowOf(const std::vector<double>& matrix, int64_t row) const {
    const auto width = static_cast<size_t>(num_classes_);
    return {matrix.data() + static_cast<size_t>(row) * width, width};
  }
  void Append(int64_t subject, int32_t label, std::span<const double> logits_C);

  int num_classes_ = 0;
  std::vector<int64_t> subjects_;
  std::vector<int32_t> labels_, predicted_;
  std::vector<double> logits_NC_, softmax_NC_, risks_;
};

}  // namespace anamnesis::metrics
