// SPDX-License-Identifier: Apache-2.0
// Shapes: N labelled rows, C rows of a chunk, D hidden, V vocabulary.
#include "workers/model/head_loss.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "workers/model/activations.h"
#include "workers/model/fixed_blocks.h"
#include "workers/model/norms.h"

namespace anamnesis::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What logits' gradients are multiplied by before they are rounded to the model's dtype, a power of
// two. They are at most 1, and fp16 would lose those below 6e-8. Larger, and a head's weights of
// 128 could overflow the hidden states' gradients.
double GradientUnit(at::ScalarType dtype) { return dtype == at::kHalf ? 256.0 : 1.0; }

struct Head {
  at::Tensor weight_VD;
  at::Tensor bias_V;  // may be undefined
  double softcap = 0;
};

struct Wanted {
  bool hidden = false, weight = false, bias = false;
  bool any() const { return hidden || weight || bias; }
};

// Loss of the whole batch and, where asked for, its gradients at an incoming
// gradient of one.
struct HeadResult {
  at::Tensor loss;       // 0-dim fp64
  at::Tensor hidden_ND;  // gradient × GradientUnit, hidden's dtype
  at::Tensor weight_VD;  // gradient, weight's dtype
  at::Tensor bias_V;     // gradient, bias's dtype
};

// The logits of one chunk in the wide dtype, capped.
at::Tensor ChunkLogits(const Head& head, const at::Tensor& hidden_CD) {
  const at::Tensor weight_DV = head.weight_VD.t();
  const at::Tensor logits_CV = (head.bias_V.defined() ? at::addmm(head.bias_V, hidden_CD, weight_DV)
                                                      : hidden_CD.mm(weight_DV))
                                   .to(WideType(hidden_CD.scalar_type()));
  return head.softcap > 0 ? SoftCapForward(logits_CV, head.softcap) : logits_CV;
}

HeadResult HeadForward(const at::Tensor& hidden_ND, const Head& masters, const at::Tensor& labels_N,
                       const Wanted& wanted) {
  const at::NoGradGuard no_grad;
  const at::ScalarType dtype = hidden_ND.scalar_type();
  Head head = masters;
  head.weight_VD = masters.weight_VD.to(dtype);
  if (head.bias_V.defined()) head.bias_V = masters.bias_V.to(dtype);
  HeadResult result;
  result.loss = at::zeros({}, hidden_ND.options().dtype(at::kDouble));
  if (wanted.hidden) result.hidden_ND = at::empty_like(hidden_ND);
  if (wanted.weight) result.weight_VD = at::zeros_like(masters.weight_VD);
  if (wanted.bias) result.bias_V = at::zeros_like(masters.bias_V);
  const int64_t num_rows = hidden_ND.size(0);
  for (int64_t start = 0; start < num_rows; start += kHeadChunkRows) {
    const int64_t rows = std::min(kHeadChunkRows, num_rows - start);
    const at::Tensor hidden_CD = hidden_ND.narrow(0, start, rows);
    const at::Tensor label_C1 = labels_N.narrow(0, start, rows).unsqueeze(1);
    const at::Tensor logits_CV = ChunkLogits(head, hidden_CD);
    const at::Tensor log_p_CV = at::log_softmax(logits_CV, -1);
    // At most kHeadChunkRows numbers, below the size at which a sum is split
    // among threads.
    result.loss.sub_(log_p_CV.gather(1, label_C1).to(at::kDouble).sum());
    if (!wanted.any()) continue;
    at::Tensor grad_CV = InFixedBlocks([](const auto& x) { return at::exp(x); }, log_p_CV);
    grad_CV.scatter_add_(1, label_C1, at::full_like(label_C1, -1, grad_CV.options()));
    if (head.softcap > 0) grad_CV = SoftCapBackward(grad_CV, logits_CV, head.softcap);
    if (wanted.bias) result.bias_V.add_(grad_CV.sum(0));
    // A sum over rows could overflow fp16 whatever the loss scale is.
    const bool narrow = dtype == at::kHalf;
    if (wanted.weight && narrow) {
      result.weight_VD.add_(grad_CV.t().mm(hidden_CD.to(grad_CV.scalar_type())));
    }
    if (narrow) grad_CV = grad_CV * GradientUnit(dtype);
    grad_CV = grad_CV.to(dtype);
    if (wanted.hidden) result.hidden_ND.narrow(0, start, rows).copy_(grad_CV.mm(head.weight_VD));
    if (wanted.weight && !narrow) result.weight_VD.add_(grad_CV.t().mm(hidden_CD));
  }
  return result;
}

class HeadLoss : public torch::autograd::Function<HeadLoss> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden_ND,
                            const at::Tensor& weight_VD, const at::Tensor& labels_N,
                            const c10::optional<at::Tensor>& bias, double softcap) {
    const at::Tensor bias_V = bias.value_or(at::Tensor());
    const Wanted wanted = {hidden_ND.requires_grad(), weight_VD.requires_grad(),
                           bias_V.defined() && bias_V.requires_grad()};
    HeadResult result = HeadForward(hidden_ND, {weight_VD, bias_V, softcap}, labels_N, wanted);
    context->saved_data["hidden"] = result.hidden_ND;
    context->saved_data["weight"] = result.weight_VD;
    context->saved_data["bias"] = result.bias_V;
    return result.loss;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto scaled = [&](const char* name) {
      const at::Tensor gradient = context->saved_data[name].toTensor();
      if (!gradient.defined()) return at::Tensor();
      const at::ScalarType dtype = gradient.scalar_type();
      const at::Tensor incoming = grads[0].to(WideType(dtype));
      if (dtype != at::kHalf) return gradient.mul(incoming);
      return gradient.mul(incoming / GradientUnit(dtype));  // a 0-dim factor: rounded once
    };
    return {scaled("hidden"), scaled("weight"), at::Tensor(), scaled("bias"), at::Tensor()};
  }
};

}  // namespace

at::Tensor HeadLossSum(const at::Tensor& hidden_ND, const at::Tensor& weight_VD,
                       const at::Tensor& labels_N, const at::Tensor& bias_V, double softcap) {
  if (!at::GradMode::is_enabled()) {
    return HeadForward(hidden_ND, {weight_VD, bias_V, softcap}, labels_N, {}).loss;
  }
  return HeadLoss::apply(hidden_ND, weight_VD, labels_N,
                         bias_V.defined() ? c10::optional<at::Tensor>(bias_V) : c10::nullopt,
                         softcap);
}

}  // namespace anamnesis::model
