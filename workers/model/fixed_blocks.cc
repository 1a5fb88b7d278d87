// SPDX-License-Identifier: Apache-2.0
#include "workers/model/fixed_blocks.h"

#include <torch/csrc/autograd/custom_function.h>

namespace anamnesis::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class SwiGluFunction : public torch::autograd::Function<SwiGluFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate,
                            const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return InFixedBlocks([](const auto& g, const auto& u) { return at::silu(g).mul(u); }, gate, up);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const auto to_gate = [](const auto& dy, const auto& g, const auto& u) {
      return at::silu_backward(dy.mul(u), g);
    };
    const auto to_up = [](const auto& dy, const auto& g) { return at::silu(g).mul(dy); };
    return {InFixedBlocks(to_gate, grads[0], saved[0], saved[1]),
            InFixedBlocks(to_up, grads[0], saved[0])};
  }
};

}  // namespace

at::Tensor SwiGlu(const at::Tensor& gate_TF, const at::Tensor& up_TF) {
  return SwiGluFunction::apply(gate_TF, up_TF);
}

}  // namespace anamnesis::model
