// SPDX-License-Identifier: Apache-2.0
// L2-regularised logistic regression on sparse features: the baseline that a language model has to
// beat. The optimum is that of sklearn.linear_model.LogisticRegression: it minimises
//   ½ ‖W‖² + C Σ over rows of the cross entropy
// with intercepts that are not regularised; for two classes one weight vector (of class 1), for
// more a softmax over one a class, whose intercepts sum to 0. Solved by truncated Newton steps
// (Nocedal & Wright 2006, algorithm 7.1, with a diagonal preconditioner) until the gradient
// vanishes; single-threaded, so the same rows give the same bits. Thread-safe (pure).
// Shapes: N rows, V features, K = 1 for two classes, else C.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::metrics {

// Compressed sparse rows, [N, V].
struct SparseMatrix {
  int64_t num_columns = 0;                // V
  std::vector<int64_t> row_starts = {0};  // [N + 1]
  std::vector<int32_t> columns;           // of the values, ascending within a row
  std::vector<double> values;

  int64_t num_rows() const { return static_cast<int64_t>(row_starts.size()) - 1; }
  void AddValue(int32_t column, double value) {
    columns.push_back(column);
    values.push_back(value);
  }
  void EndRow() { row_starts.push_back(static_cast<int64_t>(columns.size())); }
};

struct LogisticOptions {
  double c = 1.0;  // inverse strength of the regularisation, > 0
  int max_steps = 200;
};

struct LogisticModel {
  int num_classes = 0;
  int64_t num_features = 0;
  std::vector<double> weights_KV;
  std::vector<double> intercepts_K;
};

// kInvalidArgument: a matrix that is not well formed, labels that do not fit it, values that are
// not finite; kFailedPrecondition: a class without a row (its optimum is at infinity); kInternal:
// no convergence within max_steps.
StatusOr<LogisticModel> FitLogistic(const SparseMatrix& features, std::span<const int32_t> labels,
                                    int num_classes, const LogisticOptions& options = {});

// [N, C]; of two classes the first is 0. kInvalidArgument for a matrix of another width.
StatusOr<std::vector<double>> LogitsOf(const LogisticModel& model, const SparseMatrix& features);

}  // namespace anamnesis::metrics
