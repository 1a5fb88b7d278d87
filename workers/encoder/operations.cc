// SPDX-License-Identifier: Apache-2.0
// Shapes: N or T rows, D features, I inputs, O outputs, F half of the gated columns, B documents.
#include "workers/encoder/operations.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>

#include "common/base/check.h"
#include "workers/model/activations.h"
#include "workers/model/fixed_blocks.h"

namespace anamnesis::encoder {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kColumnBlock = 64;
constexpr int64_t kThinOutput = 32;  // a classifier's few rows

// out[0][c] = Σ_n dy[n, c] and, where x is given, out[1][c] = Σ_n dy[n, c] · (x[n, c] − mean[n]) ·
// rstd[n]: in row order, in fp64, a fixed block of columns at a time.
template <typename T>
void SumColumns(const T* dy, const T* x, const T* mean, const T* rstd, int64_t rows,
                int64_t columns, T* sums, T* scaled_sums) {
  const int64_t blocks = (columns + kColumnBlock - 1) / kColumnBlock;
  at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t start = block * kColumnBlock;
      const int64_t size = std::min(kColumnBlock, columns - start);
      std::array<double, kColumnBlock> sum{}, scaled{};
      for (int64_t n = 0; n < rows; ++n) {
        const T* dy_row = dy + n * columns + start;
        for (int64_t c = 0; c < size; ++c) sum[c] += static_cast<double>(dy_row[c]);
        if (x == nullptr) continue;
        const T* x_row = x + n * columns + start;
        const double center = mean[n], scale = rstd[n];
        for (int64_t c = 0; c < size; ++c) {
          scaled[c] +=
              static_cast<double>(dy_row[c]) * (static_cast<double>(x_row[c]) - center) * scale;
        }
      }
      for (int64_t c = 0; c < size; ++c) sums[start + c] = static_cast<T>(sum[c]);
      if (x == nullptr) continue;
      for (int64_t c = 0; c < size; ++c) scaled_sums[start + c] = static_cast<T>(scaled[c]);
    }
  });
}

template <typename T>
void SumColumns(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& mean,
                const at::Tensor& rstd, at::Tensor* sums, at::Tensor* scaled) {
  const bool plain = !x.defined();
  SumColumns<T>(dy.const_data_ptr<T>(), plain ? nullptr : x.const_data_ptr<T>(),
                plain ? nullptr : mean.const_data_ptr<T>(),
                plain ? nullptr : rstd.const_data_ptr<T>(), dy.size(0), dy.size(1),
                sums->mutable_data_ptr<T>(), plain ? nullptr : scaled->mutable_data_ptr<T>());
}

// Σ over the rows of a [N, D] tensor, in its own dtype or fp32 for bf16.
at::Tensor ColumnSum(const at::Tensor& dy_ND) {
  const at::Tensor dy =
      (dy_ND.scalar_type() == at::kDouble ? dy_ND : dy_ND.to(at::kFloat)).contiguous();
  if (!dy.device().is_cpu()) return dy.sum(0);
  at::Tensor sums = at::empty({dy.size(1)}, dy.options());
  if (dy.scalar_type() == at::kDouble) {
    SumColumns<double>(dy, {}, {}, {}, &sums, nullptr);
  } else {
    SumColumns<float>(dy, {}, {}, {}, &sums, nullptr);
  }
  return sums;
}

class LayerNormFunction : public torch::autograd::Function<LayerNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_ND,
                            const at::Tensor& weight_D, const c10::optional<at::Tensor>& bias_D,
                            double eps) {
    const at::Tensor x = x_ND.contiguous();
    const auto [y, mean, rstd] = at::native_layer_norm(x, {x.size(1)}, weight_D, bias_D, eps);
    context->save_for_backward({x, weight_D, bias_D.value_or(at::Tensor()), mean, rstd});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3],
                     &rstd = saved[4];
    const at::Tensor dy = grads[0].contiguous();
    at::Tensor dx, dweight, dbias;
    if (context->needs_input_grad(0)) {
      dx = std::get<0>(at::native_layer_norm_backward(dy, x, {x.size(1)}, mean, rstd, weight, bias,
                                                      {true, false, false}));
    }
    if (context->needs_input_grad(1)) {
      dweight = at::empty_like(weight);
      dbias = at::empty_like(weight);
      if (!x.device().is_cpu()) {
        dbias = dy.sum(0);
        dweight = (dy * (x - mean) * rstd).sum(0);
      } else if (x.scalar_type() == at::kDouble) {
        SumColumns<double>(dy, x, mean, rstd, &dbias, &dweight);
      } else {
        SumColumns<float>(dy, x, mean, rstd, &dbias, &dweight);
      }
    }
    return {dx, dweight, bias.defined() ? dbias : at::Tensor(), at::Tensor()};
  }
};

class TanhFunction : public torch::autograd::Function<TanhFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x) {
    const at::Tensor y = model::InFixedBlocks([](const auto& piece) { return at::tanh(piece); }, x);
    context->save_for_backward({y});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    return {
        model::InFixedBlocks([](const auto& dy, const auto& y) { return at::tanh_backward(dy, y); },
                             grads[0], context->get_saved_variables()[0])};
  }
};

model::Activation InMlp(Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return model::Activation::kGelu;
    case Activation::kGeluTanh:
      return model::Activation::kGeluTanh;
    case Activation::kRelu:
      return model::Activation::kRelu;
    case Activation::kSilu:
      return model::Activation::kSilu;
    case Activation::kTanh:
      break;
  }
  ANAM_CHECK(false);  // config.cc takes tanh for heads alone
  return model::Activation::kGelu;
}

class DropoutFunction : public torch::autograd::Function<DropoutFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TF,
                            const adapter::DropoutContext& mask, int64_t module, double p) {
    context->saved_data["mask"] = Packed(mask);
    context->saved_data["module"] = module;
    context->saved_data["p"] = p;
    return adapter::ApplyDropout(x_TF, mask, module, p);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const adapter::DropoutContext mask = Unpacked(context->saved_data["mask"].toIntVector());
    return {adapter::ApplyDropout(grads[0], mask, context->saved_data["module"].toInt(),
                                  context->saved_data["p"].toDouble()),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

class MeansFunction : public torch::autograd::Function<MeansFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TD,
                            const std::vector<int64_t>& lengths) {
    context->saved_data["lengths"] = lengths;
    std::vector<at::Tensor> means;
    int64_t start = 0;
    for (const int64_t length : lengths) {
      means.push_back(ColumnSum(x_TD.narrow(0, start, length)) / static_cast<double>(length));
      start += length;
    }
    return at::stack(means);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    std::vector<at::Tensor> pieces;
    const std::vector<int64_t> lengths = context->saved_data["lengths"].toIntVector();
    for (size_t i = 0; i < lengths.size(); ++i) {
      const at::Tensor row = grads[0][static_cast<int64_t>(i)] / static_cast<double>(lengths[i]);
      pieces.push_back(row.unsqueeze(0).expand({lengths[i], row.size(0)}));
    }
    return {at::cat(pieces), at::Tensor()};
  }
};

// dyᵀ x in `master`, in pieces of rows; a thin one by its own sums, because MKL cuts dyᵀ x of a few
// rows by the number of threads.
at::Tensor WeightGradient(const at::Tensor& dy_TO, const at::Tensor& x_TI, at::ScalarType master) {
  if (dy_TO.size(1) <= kThinOutput) {
    std::vector<at::Tensor> rows;
    const at::Tensor dy = dy_TO.to(master), x = x_TI.to(master);
    for (int64_t o = 0; o < dy.size(1); ++o) rows.push_back(ColumnSum(x * dy.narrow(1, o, 1)));
    return at::stack(rows);
  }
  at::Tensor sum_OI;
  for (int64_t start = 0; start < x_TI.size(0); start += kRowPiece) {
    const int64_t rows = std::min(kRowPiece, x_TI.size(0) - start);
    const at::Tensor piece_OI =
        dy_TO.narrow(0, start, rows).t().mm(x_TI.narrow(0, start, rows)).to(master);
    sum_OI = sum_OI.defined() ? sum_OI.add_(piece_OI) : piece_OI;
  }
  return sum_OI;
}

class TrainedLinearFunction : public torch::autograd::Function<TrainedLinearFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TI,
                            const at::Tensor& weight_OI, const c10::optional<at::Tensor>& bias_O) {
    const at::ScalarType dtype = x_TI.scalar_type();
    const at::Tensor cast_OI = weight_OI.to(dtype);
    c10::optional<at::Tensor> cast_O;
    if (bias_O.has_value()) cast_O = bias_O->to(dtype);
    context->save_for_backward({x_TI, cast_OI});
    context->saved_data["bias"] = bias_O.has_value();
    context->saved_data["master"] = static_cast<int64_t>(weight_OI.scalar_type());
    return at::linear(x_TI, cast_OI, cast_O);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x_TI = saved[0], &weight_OI = saved[1];
    const at::ScalarType master =
        static_cast<at::ScalarType>(context->saved_data["master"].toInt());
    const at::Tensor dy_TO = grads[0].contiguous();
    at::Tensor dx_TI, dweight_OI, dbias_O;
    if (context->needs_input_grad(0)) dx_TI = dy_TO.mm(weight_OI);
    dweight_OI = WeightGradient(dy_TO, x_TI, master);
    if (context->saved_data["bias"].toBool()) dbias_O = ColumnSum(dy_TO).to(master);
    return {dx_TI, dweight_OI, dbias_O};
  }
};

}  // namespace

at::Tensor LayerNorm(const at::Tensor& x_ND, const Norm& norm) {
  c10::optional<at::Tensor> bias_D;  // autograd takes no undefined tensor as an input
  if (norm.bias_D.defined()) bias_D = norm.bias_D;
  return LayerNormFunction::apply(x_ND, norm.weight_D, bias_D, norm.eps);
}

at::Tensor Activate(Activation activation, const at::Tensor& x) {
  if (activation == Activation::kTanh) return TanhFunction::apply(x);
  return model::Activate(x, InMlp(activation));
}

at::Tensor GatedActivation(Activation activation, const at::Tensor& x_TG) {
  const auto halves = x_TG.chunk(2, -1);
  return model::GatedActivate(halves[0], halves[1], InMlp(activation));
}

at::Tensor Dropout(const at::Tensor& x_TF, const adapter::DropoutContext& context, int64_t module,
                   double p) {
  if (!context.training || p <= 0) return x_TF;
  return DropoutFunction::apply(x_TF, context, module, p);
}

adapter::DropoutContext PerDocument(const adapter::DropoutContext& context) {
  adapter::DropoutContext out = context;
  for (adapter::DropoutRow& row : out.rows) row.num_tokens = 1;
  return out;
}

std::vector<int64_t> Packed(const adapter::DropoutContext& context) {
  std::vector<int64_t> out = {static_cast<int64_t>(context.seed), context.step};
  for (const adapter::DropoutRow& row : context.rows) {
    out.push_back(row.global_row);
    out.push_back(row.num_tokens);
  }
  return out;
}

adapter::DropoutContext Unpacked(const std::vector<int64_t>& packed) {
  adapter::DropoutContext context;
  context.seed = static_cast<uint64_t>(packed[0]);
  context.step = packed[1];
  context.training = true;
  for (size_t i = 2; i < packed.size(); i += 2) context.rows.push_back({packed[i], packed[i + 1]});
  return context;
}

at::Tensor DocumentMeans(const at::Tensor& x_TD, const std::vector<int64_t>& lengths) {
  return MeansFunction::apply(x_TD, lengths);
}

at::Tensor TrainedLinear::Forward(const model::Linear& layer, const at::Tensor& x_TI) {
  return TrainedLinearFunction::apply(x_TI, layer.weight, layer.bias);
}

}  // namespace anamnesis::encoder
