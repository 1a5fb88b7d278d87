// SPDX-License-Identifier: Apache-2.0
#include "workers/model/activations.h"

#include <torch/csrc/autograd/custom_function.h>

#include "common/base/check.h"
#include "workers/model/fixed_blocks.h"

namespace anamnesis::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor Value(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kGelu:
      return at::gelu(x, "none");
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kRelu:
      break;
  }
  return at::relu(x);
}

at::Tensor Gradient(const at::Tensor& dy, const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return at::silu_backward(dy, x);
    case Activation::kGelu:
      return at::gelu_backward(dy, x, "none");
    case Activation::kGeluTanh:
      return at::gelu_backward(dy, x, "tanh");
    case Activation::kRelu:
      break;
  }
  return at::threshold_backward(dy, x, 0);
}

class ActivateFunction : public torch::autograd::Function<ActivateFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t activation) {
    context->save_for_backward({x});
    context->saved_data["activation"] = activation;
    return InFixedBlocks(
        [&](const auto& v) { return Value(v, static_cast<Activation>(activation)); }, x);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    return {
        InFixedBlocks([&](const auto& dy, const auto& x) { return Gradient(dy, x, activation); },
                      grads[0], context->get_saved_variables()[0]),
        at::Tensor()};
  }
};

class GatedFunction : public torch::autograd::Function<GatedFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up,
                            int64_t activation) {
    context->save_for_backward({gate, up});
    context->saved_data["activation"] = activation;
    const auto value = [&](const auto& g, const auto& u) {
      return Value(g, static_cast<Activation>(activation)).mul(u);
    };
    return InFixedBlocks(value, gate, up);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    const auto to_gate = [&](const auto& dy, const auto& g, const auto& u) {
      return Gradient(dy.mul(u), g, activation);
    };
    const auto to_up = [&](const auto& dy, const auto& g) { return Value(g, activation).mul(dy); };
    return {InFixedBlocks(to_gate, grads[0], saved[0], saved[1]),
            InFixedBlocks(to_up, grads[0], saved[0]), at::Tensor()};
  }
};

class SoftCapFunction : public torch::autograd::Function<SoftCapFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double cap) {
    const at::Tensor capped = SoftCapForward(x, cap);
    context->save_for_backward({capped});
    context->saved_data["cap"] = cap;
    return capped;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const double cap = context->saved_data["cap"].toDouble();
    return {SoftCapBackward(grads[0], context->get_saved_variables()[0], cap), at::Tensor()};
  }
};

class RowSoftmaxFunction : public torch::autograd::Function<RowSoftmaxFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x) {
    const at::Tensor p = at::softmax(x, -1);
    context->save_for_backward({p});
    return p;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const at::Tensor p = context->get_saved_variables()[0];
    const at::Tensor mean = (grads[0] * p).sum(-1, /*keepdim=*/true);
    return {p * (grads[0] - mean)};
  }
};

}  // namespace

Activation ActivationOf(const std::string& hidden_act) {
  if (hidden_act == "gelu") return Activation::kGelu;
  if (hidden_act == "gelu_new" || hidden_act == "gelu_pytorch_tanh") return Activation::kGeluTanh;
  if (hidden_act == "relu") return Activation::kRelu;
  ANAM_CHECK(hidden_act == "silu");
  return Activation::kSilu;
}

at::Tensor Activate(const at::Tensor& x, Activation activation) {
  return ActivateFunction::apply(x, static_cast<int64_t>(activation));
}

at::Tensor GatedActivate(const at::Tensor& gate_TF, const at::Tensor& up_TF,
                         Activation activation) {
  return GatedFunction::apply(gate_TF, up_TF, static_cast<int64_t>(activation));
}

at::Tensor SoftCap(const at::Tensor& x, double cap) { return SoftCapFunction::apply(x, cap); }

at::Tensor RowSoftmax(const at::Tensor& x) { return RowSoftmaxFunction::apply(x); }

at::Tensor SoftCapForward(const at::Tensor& x, double cap) {
  return InFixedBlocks([&](const auto& v) { return at::tanh(v / cap) * cap; }, x);
}

at::Tensor SoftCapBackward(const at::Tensor& gradient, const at::Tensor& capped, double cap) {
  return InFixedBlocks([&](const auto& dy, const auto& y) { return dy * (1 - (y / cap).square()); },
                       gradient, capped);
}

}  // namespace anamnesis::model
