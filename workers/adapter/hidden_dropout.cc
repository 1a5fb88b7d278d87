// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/hidden_dropout.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace anamnesis::adapter {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The mask is kept rather than made again: these dropouts are rare.
class DropFunction : public torch::autograd::Function<DropFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TD,
                            const DropoutContext& mask, int64_t module, double p) {
    const at::Tensor kept_TD = ApplyDropout(at::ones_like(x_TD), mask, module, p).ne(0);
    const double scale = 65536.0 / (65536.0 - DropoutThreshold(p));
    context->save_for_backward({kept_TD});
    context->saved_data["scale"] = scale;
    return x_TD * kept_TD * scale;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const double scale = context->saved_data["scale"].toDouble();
    return {grads[0] * context->get_saved_variables()[0] * scale, at::Tensor(), at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor CounterHiddenDropout::Forward(const at::Tensor& x_TD, int64_t site, double p) const {
  if (!context_.training) return x_TD;
  return DropFunction::apply(x_TD, context_, kHiddenDropoutModule + site, p);
}

}  // namespace anamnesis::adapter
