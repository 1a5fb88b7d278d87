// SPDX-License-Identifier: Apache-2.0
// Losses of a classifier over classes, as sums that a trainer divides over all ranks.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::encoder {

struct ClassLossOptions {
  bool focal = false;
  double gamma = 2.0;                 // of the focal loss; 0 makes it the cross-entropy
  std::vector<double> class_weights;  // [C], or empty: all one (α_t of the focal loss)
};

// kInvalidArgument: a weight count other than num_labels, a weight that is negative or not finite,
// no positive weight, gamma < 0.
Status CheckClassLoss(const ClassLossOptions& options, int64_t num_labels);

// Divide `loss` by the sum of `weight` over the global batch: the mean, or with class weights the
// weighted mean, of torch's cross_entropy(weight, reduction="mean") as HF's Trainer takes it.
struct ClassLossSum {
  at::Tensor loss;    // 0-dim fp64 on the graph: Σ w[y] · ℓ
  double weight = 0;  // Σ w[y]; the number of documents without class weights
};

// ℓ = −log p_y, or (1 − p_y)^γ · −log p_y (Lin et al. 2017, eq. 4 and 5), of B rows of C logits;
// softmax is fp32 (fp64 for fp64). Every label is in [0, C).
ClassLossSum ClassLoss(const at::Tensor& logits_BC, const at::Tensor& labels_B,
                       const ClassLossOptions& options);

}  // namespace anamnesis::encoder
