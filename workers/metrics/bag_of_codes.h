// SPDX-License-Identifier: Apache-2.0
// The bag-of-codes baseline: which codes (or how many of each) a subject's history has, and a
// logistic regression on them. What stands beside the model's own metrics. Pure: thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/status.h"
#include "workers/metrics/logistic.h"
#include "workers/metrics/scores.h"

namespace anamnesis::metrics {

struct CodeCount {
  int64_t code = 0;  // any numbering, the same for all bags: a phrase's id
  int64_t count = 0;
};

struct Bag {  // of one subject, of what the model sees of the history: after the cutoff
  int64_t subject = 0;
  int32_t label = 0;
  std::vector<CodeCount> codes = {};  // in any order; counts of a repeated code are added
};

enum class CodeValue {
  kPresence,  // 1 where the count is above 0
  kCount
};

struct BagOptions {
  CodeValue value = CodeValue::kPresence;
  LogisticOptions logistic = {};
};

class BagOfCodes {
 public:
  // Fits on `train` in the order of subjects, whatever theirs is. A feature is a code that occurs
  // in `train`. kInvalidArgument names the subject of a label outside 0 … num_classes − 1, of a
  // negative count, or that comes twice; other errors as of FitLogistic.
  static StatusOr<BagOfCodes> Fit(std::vector<Bag> train, int num_classes,
                                  const BagOptions& options = {});

  // Rows for a ScoredSplit. Codes that `train` had not are passed over.
  StatusOr<Rows> Score(const std::vector<Bag>& bags) const;

  int64_t num_features() const { return static_cast<int64_t>(codes_.size()); }

 private:
  SparseMatrix MatrixOf(const std::vector<Bag>& bags) const;

  std::vector<int64_t> codes_;  // ascending: position = column
  CodeValue value_ = CodeValue::kPresence;
  LogisticModel model_;
};

}  // namespace anamnesis::metrics
