// SPDX-License-Identifier: Apache-2.0
// Shapes: T tokens, I inputs, O outputs, R rank.
#include "workers/adapter/lora.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

namespace anamnesis::adapter {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the backward pass needs of the dropout, as an IValue that autograd can keep: the context may
// have moved on by then.
std::vector<int64_t> Packed(const DropoutContext& context) {
  std::vector<int64_t> out = {static_cast<int64_t>(context.seed), context.step};
  for (const DropoutRow& row : context.rows) {
    out.push_back(row.global_row);
    out.push_back(row.num_tokens);
  }
  return out;
}

DropoutContext Unpacked(const std::vector<int64_t>& packed) {
  DropoutContext context;
  context.seed = static_cast<uint64_t>(packed[0]);
  context.step = packed[1];
  context.training = true;
  for (size_t i = 2; i < packed.size(); i += 2) context.rows.push_back({packed[i], packed[i + 1]});
  return context;
}

// The frozen weight as autograd keeps it: a tensor that shares its storage, or the packed form.
struct HeldWeight {
  static HeldWeight Of(const model::Linear& layer) { return {layer.weight, layer.packed}; }
  at::Tensor Dense(at::ScalarType dtype) const { return packed ? packed->Dense(dtype) : dense_OI; }

  at::Tensor dense_OI;  // undefined where `packed` is set
  model::FrozenWeightPtr packed;
};

constexpr int64_t kBiasColumns = 64;

// Σ_t dy[t, o], fp32 (fp64 of fp64): in the rows' order, so that no number of threads changes a
// bit.
at::Tensor SumOfRows(const at::Tensor& dy_TO) {
  const at::ScalarType wide = dy_TO.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  if (!dy_TO.device().is_cpu()) return dy_TO.sum(0, /*keepdim=*/false, wide);
  const int64_t rows = dy_TO.size(0), columns = dy_TO.size(1);
  at::Tensor sum_O = at::zeros({columns}, dy_TO.options().dtype(at::kDouble));
  double* sum = sum_O.mutable_data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dy_TO.scalar_type(), "SumOfRows", [&] {
    const scalar_t* dy = dy_TO.const_data_ptr<scalar_t>();
    at::parallel_for(0, columns, kBiasColumns, [&](int64_t first, int64_t last) {
      for (int64_t t = 0; t < rows; ++t) {
        for (int64_t o = first; o < last; ++o) sum[o] += static_cast<double>(dy[t * columns + o]);
      }
    });
  });
  return sum_O.to(wide);
}

class LoraFunction : public torch::autograd::Function<LoraFunction> {
 public:
  // The scale is folded into A before its cast, so that it costs no extra rounding.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TI,
                            const HeldWeight& weight, const c10::optional<at::Tensor>& bias_O,
                            const at::Tensor& a_RI, const at::Tensor& b_OR, double scale,
                            double dropout, const DropoutContext& mask, int64_t module) {
    const bool drops = mask.training && dropout > 0;
    const at::Tensor dropped_TI = drops ? ApplyDropout(x_TI, mask, module, dropout) : x_TI;
    const at::Tensor scaled_RI = (a_RI * scale).to(x_TI.scalar_type());
    const at::Tensor u_TR = dropped_TI.mm(scaled_RI.t());
    c10::optional<at::Tensor> bias = bias_O;
    if (bias) bias = bias->to(x_TI.scalar_type());
    at::Tensor y_TO = at::linear(x_TI, weight.Dense(x_TI.scalar_type()), bias);
    y_TO.addmm_(u_TR, b_OR.to(x_TI.scalar_type()).t());
    context->save_for_backward({x_TI, weight.dense_OI, a_RI, b_OR, u_TR});
    if (weight.packed) {
      context->saved_data["packed"] = c10::IValue::make_capsule(weight.packed);
    }
    context->saved_data["has_bias"] = bias_O.has_value();
    context->saved_data["scale"] = scale;
    context->saved_data["dropout"] = drops ? dropout : 0.0;
    context->saved_data["mask"] = drops ? Packed(mask) : std::vector<int64_t>();
    context->saved_data["module"] = module;
    return y_TO;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x_TI = saved[0], &a_RI = saved[2], &b_OR = saved[3], &u_TR = saved[4];
    const double scale = context->saved_data["scale"].toDouble();
    const double dropout = context->saved_data["dropout"].toDouble();
    const int64_t module = context->saved_data["module"].toInt();
    const at::ScalarType dtype = x_TI.scalar_type();
    DropoutContext mask;
    if (dropout > 0) mask = Unpacked(context->saved_data["mask"].toIntVector());

    const at::Tensor dy_TO = grads[0].contiguous();
    // dBᵀ [R, O], not dB: with few rows the sum over T is not split by the number of threads.
    const at::Tensor db_t_RO = u_TR.t().mm(dy_TO);
    const at::Tensor du_TR = dy_TO.mm(b_OR.to(dtype));  // without the scale
    at::Tensor dx_TI;
    if (context->needs_input_grad(0)) {
      dx_TI = dy_TO.mm(SavedWeight(context, saved[1], dtype));
      const at::Tensor through_a = du_TR.mm((a_RI * scale).to(dtype));
      dx_TI.add_(dropout > 0 ? ApplyDropout(through_a, mask, module, dropout) : through_a);
    }
    const at::Tensor dropped_TI = dropout > 0 ? ApplyDropout(x_TI, mask, module, dropout) : x_TI;
    // The bias is the second input that is a tensor, where there is one.
    const bool trains_bias =
        context->saved_data["has_bias"].toBool() && context->needs_input_grad(1);
    const at::Tensor dbias_O = trains_bias ? SumOfRows(dy_TO) : at::Tensor();
    const at::Tensor da_RI = du_TR.t().mm(dropped_TI).to(a_RI.scalar_type()) * scale;
    return {
        dx_TI,        at::Tensor(), dbias_O,      da_RI,       db_t_RO.t().to(b_OR.scalar_type()),
        at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor SavedWeight(AutogradContext* context, const at::Tensor& dense_OI,
                                at::ScalarType dtype) {
    const auto packed = context->saved_data.find("packed");
    if (packed == context->saved_data.end()) return dense_OI;
    const auto held = packed->second.toCapsule();
    return static_cast<const model::FrozenWeight&>(*held).Dense(dtype);
  }
};

}  // namespace

at::Tensor LoraForward(const at::Tensor& x_TI, const model::Linear& layer, const LoraWeights& lora,
                       const DropoutContext& context) {
  return LoraFunction::apply(x_TI, HeldWeight::Of(layer), layer.bias, lora.a_RI, lora.b_OR,
                             lora.scale, lora.dropout, context, layer.ordinal);
}

at::Tensor LoraLinear::Forward(const model::Linear& layer, const at::Tensor& x_TI) {
  return LoraForward(x_TI, layer, lora_, context_);
}

}  // namespace anamnesis::adapter
