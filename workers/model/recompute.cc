// SPDX-License-Identifier: Apache-2.0
#include "workers/model/recompute.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace anamnesis::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A layer as autograd can keep it.
struct HeldLayer : torch::CustomClassHolder {
  explicit HeldLayer(LayerFunction function) : layer(std::move(function)) {}
  LayerFunction layer;
};

// As bytes: a NaN equals itself.
bool HaveEqualBits(const at::Tensor& a, const at::Tensor& b) {
  const auto bytes = [](const at::Tensor& x) { return x.detach().contiguous().view(at::kByte); };
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         at::equal(bytes(a), bytes(b));
}

class RecomputeFunction : public torch::autograd::Function<RecomputeFunction> {
 public:
  // `anchor` requires a gradient, so that there is a backward pass even where x needs none.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TD, const at::Tensor&,
                            const LayerFunction& layer) {
    const at::Tensor y_TD = layer(x_TD);
    // y is the next layer's input, so keeping it costs nothing.
    context->save_for_backward({x_TD, y_TD});
    context->saved_data["layer"] = c10::IValue::make_capsule(c10::make_intrusive<HeldLayer>(layer));
    return y_TD;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const auto held = context->saved_data["layer"].toCapsule();
    at::Tensor x_TD = saved[0].detach();
    x_TD.set_requires_grad(context->needs_input_grad(0));
    at::Tensor y_TD;
    {
      const at::AutoGradMode grad(true);
      y_TD = static_cast<const HeldLayer&>(*held).layer(x_TD);
    }
    TORCH_CHECK(!y_TD.device().is_cpu() || HaveEqualBits(y_TD, saved[1]),
                "a layer that was computed again for its backward pass has other values: its "
                "dropout or its weights changed in between");
    if (y_TD.requires_grad()) torch::autograd::backward({y_TD}, {grads[0]});
    return {x_TD.grad(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Recomputed(const at::Tensor& x_TD, const LayerFunction& layer) {
  if (!at::GradMode::is_enabled()) return layer(x_TD);
  const at::Tensor anchor = at::empty({0}, x_TD.options()).set_requires_grad(true);
  return RecomputeFunction::apply(x_TD, anchor, layer);
}

}  // namespace anamnesis::model
