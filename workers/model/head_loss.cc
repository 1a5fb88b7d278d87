// SPDX-License-Identifier: Apache-2.0
// Shapes: N labelled rows, C rows of a chunk, D hidden, V vocabulary.
#include "workers/model/head_loss.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "workers/model/fixed_blocks.h"

namespace anamnesis::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::ScalarType WideType(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

// Loss of the whole batch and, where asked for, its gradients at an incoming gradient of one.
struct HeadResult {
  at::Tensor loss;       // 0-dim fp64
  at::Tensor hidden_ND;  // gradient, hidden's dtype
  at::Tensor weight_VD;  // gradient, weight's dtype
};

HeadResult HeadForward(const at::Tensor& hidden_ND, const at::Tensor& weight_VD,
                       const at::Tensor& labels_N, bool want_hidden, bool want_weight) {
  const at::NoGradGuard no_grad;
  const at::Tensor compute_VD = weight_VD.to(hidden_ND.scalar_type());
  HeadResult result;
  result.loss = at::zeros({}, hidden_ND.options().dtype(at::kDouble));
  if (want_hidden) result.hidden_ND = at::empty_like(hidden_ND);
  if (want_weight) result.weight_VD = at::zeros_like(weight_VD);
  const int64_t num_rows = hidden_ND.size(0);
  for (int64_t start = 0; start < num_rows; start += kHeadChunkRows) {
    const int64_t rows = std::min(kHeadChunkRows, num_rows - start);
    const at::Tensor hidden_CD = hidden_ND.narrow(0, start, rows);
    const at::Tensor label_C1 = labels_N.narrow(0, start, rows).unsqueeze(1);
    const at::Tensor logits_CV = hidden_CD.mm(compute_VD.t()).to(WideType(hidden_ND.scalar_type()));
    const at::Tensor log_p_CV = at::log_softmax(logits_CV, -1);
    // At most kHeadChunkRows numbers, below the size at which a sum is split among threads.
    result.loss.sub_(log_p_CV.gather(1, label_C1).to(at::kDouble).sum());
    if (!want_hidden && !want_weight) continue;
    at::Tensor grad_CV = InFixedBlocks([](const auto& x) { return at::exp(x); }, log_p_CV);
    grad_CV.scatter_add_(1, label_C1, at::full_like(label_C1, -1, grad_CV.options()));
    grad_CV = grad_CV.to(hidden_ND.scalar_type());
    if (want_hidden) result.hidden_ND.narrow(0, start, rows).copy_(grad_CV.mm(compute_VD));
    if (want_weight) result.weight_VD.add_(grad_CV.t().mm(hidden_CD));
  }
  return result;
}

class HeadLoss : public torch::autograd::Function<HeadLoss> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden_ND,
                            const at::Tensor& weight_VD, const at::Tensor& labels_N) {
    const bool want_hidden = hidden_ND.requires_grad();
    const bool want_weight = weight_VD.requires_grad();
    HeadResult result = HeadForward(hidden_ND, weight_VD, labels_N, want_hidden, want_weight);
    context->saved_data["hidden"] = result.hidden_ND;
    context->saved_data["weight"] = result.weight_VD;
    return result.loss;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto scaled = [&](const char* name) {
      const at::Tensor gradient = context->saved_data[name].toTensor();
      if (!gradient.defined()) return at::Tensor();
      return gradient.mul(grads[0].to(WideType(gradient.scalar_type())));
    };
    return {scaled("hidden"), scaled("weight"), at::Tensor()};
  }
};

}  // namespace

at::Tensor HeadLossSum(const at::Tensor& hidden_ND, const at::Tensor& weight_VD,
                       const at::Tensor& labels_N) {
  if (!at::GradMode::is_enabled()) {
    return HeadForward(hidden_ND, weight_VD, labels_N, false, false).loss;
  }
  return HeadLoss::apply(hidden_ND, weight_VD, labels_N);
}

}  // namespace anamnesis::model
