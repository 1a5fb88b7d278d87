// SPDX-License-Identifier: Apache-2.0
// Shapes: B documents, C classes.
#include "workers/encoder/class_loss.h"

#include <cmath>

namespace anamnesis::encoder {

Status CheckClassLoss(const ClassLossOptions& options, int64_t num_labels) {
  if (!(options.gamma >= 0) || !std::isfinite(options.gamma)) {
    return InvalidArgument("focal loss: gamma ", options.gamma, ": expected a number ≥ 0");
  }
  if (options.class_weights.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(options.class_weights.size()) != num_labels) {
    return InvalidArgument("class_weights: ", options.class_weights.size(), " weights for ",
                           num_labels, " classes");
  }
  double total = 0;
  for (const double weight : options.class_weights) {
    if (!(weight >= 0) || !std::isfinite(weight)) {
      return InvalidArgument("class_weights: ", weight, ": expected a finite number ≥ 0");
    }
    total += weight;
  }
  if (total <= 0) return InvalidArgument("class_weights: expected at least one weight above 0");
  return absl::OkStatus();
}

ClassLossSum ClassLoss(const at::Tensor& logits_BC, const at::Tensor& labels_B,
                       const ClassLossOptions& options) {
  const at::Tensor wide_BC =
      logits_BC.scalar_type() == at::kDouble ? logits_BC : logits_BC.to(at::kFloat);
  const at::Tensor log_p_B =
      at::log_softmax(wide_BC, -1).gather(1, labels_B.unsqueeze(1)).squeeze(1);
  at::Tensor loss_B = log_p_B.neg();
  if (options.focal && options.gamma > 0) {
    // The bound keeps the power's gradient finite where p_y rounds to one.
    const at::Tensor rest_B = at::expm1(log_p_B).neg().clamp_min(1e-30);
    loss_B = rest_B.pow(options.gamma) * loss_B;
  }
  ClassLossSum sum;
  sum.weight = static_cast<double>(labels_B.numel());
  if (!options.class_weights.empty()) {
    const at::Tensor weights_C =
        at::tensor(options.class_weights, at::TensorOptions().dtype(at::kDouble))
            .to(wide_BC.options());
    const at::Tensor weights_B = weights_C.index_select(0, labels_B);
    loss_B = loss_B * weights_B;
    sum.weight = weights_B.to(at::kDouble).sum().item<double>();
  }
  sum.loss = loss_B.to(at::kDouble).sum();
  return sum;
}

}  // namespace anamnesis::encoder
