// SPDX-License-Identifier: Apache-2.0
// Shapes: T tokens, I inputs, O outputs.
#include "workers/model/frozen_weight.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <mutex>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "workers/model/reused_buffer.h"

namespace anamnesis::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kBlocksPerTask = 1024;  // 65,536 values: a piece of work for one thread

StatusOr<quant::SourceType> SourceTypeOf(at::ScalarType type) {
  if (type == at::kFloat) return quant::SourceType::kF32;
  if (type == at::kBFloat16) return quant::SourceType::kBF16;
  if (type == at::kHalf) return quant::SourceType::kF16;
  return InvalidArgument("a tensor of dtype ", c10::toString(type),
                         " cannot be quantised; expected float32, bfloat16 or float16");
}

class FrozenLinearFunction : public torch::autograd::Function<FrozenLinearFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TI,
                            const FrozenWeightPtr& weight,
                            const c10::optional<at::Tensor>& bias_O) {
    context->saved_data["weight"] = c10::IValue::make_capsule(weight);
    return at::linear(x_TI, weight->Dense(x_TI.scalar_type()), bias_O);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto held = context->saved_data["weight"].toCapsule();
    const auto& weight = static_cast<const FrozenWeight&>(*held);
    const at::Tensor& dy_TO = grads[0];
    return {dy_TO.mm(weight.Dense(dy_TO.scalar_type())), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Nf4Weight::Nf4Weight(quant::Nf4Data data, int64_t out_features, int64_t in_features)
    : data_(std::move(data)), out_features_(out_features), in_features_(in_features) {
  ANAM_CHECK(data_.num_elements == out_features * in_features);
}

StatusOr<FrozenWeightPtr> Nf4Weight::Quantise(const at::Tensor& weight_OI) {
  ANAM_CHECK(weight_OI.dim() == 2 && weight_OI.is_contiguous() && weight_OI.device().is_cpu());
  ANAM_ASSIGN_OR_RETURN(const quant::SourceType type, SourceTypeOf(weight_OI.scalar_type()));
  const int64_t size = weight_OI.numel();
  const int64_t blocks = (size + quant::kNf4BlockSize - 1) / quant::kNf4BlockSize;
  const auto* values = static_cast<const char*>(weight_OI.const_data_ptr());
  quant::Nf4Encoder encoder(size);
  std::mutex mutex;
  Status status;  // of the first bad piece in the tensor
  int64_t failed_at = size;
  at::parallel_for(0, blocks, kBlocksPerTask, [&](int64_t first, int64_t last) {
    const int64_t start = first * quant::kNf4BlockSize;
    const int64_t count = std::min(last * quant::kNf4BlockSize, size) - start;
    const Status added = encoder.Add(start, values + start * weight_OI.element_size(), type, count);
    const std::lock_guard<std::mutex> lock(mutex);
    if (added.ok() || start >= failed_at) return;
    failed_at = start;
    status = added;
  });
  ANAM_RETURN_IF_ERROR(status);
  ANAM_ASSIGN_OR_RETURN(quant::Nf4Data data, std::move(encoder).Finish());
  return FrozenWeightPtr(
      c10::make_intrusive<Nf4Weight>(std::move(data), weight_OI.size(0), weight_OI.size(1)));
}

at::Tensor Nf4Weight::Dense(at::ScalarType dtype) const {
  const at::ScalarType decoded = dtype == at::kBFloat16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor out = ReusedBuffer({out_features_, in_features_}, decoded);
  void* values = out.mutable_data_ptr();
  at::parallel_for(0, data_.num_blocks(), kBlocksPerTask, [&](int64_t first, int64_t last) {
    const int64_t start = first * quant::kNf4BlockSize;
    if (decoded == at::kFloat) {
      quant::DecodeNf4(data_, first, last, static_cast<float*>(values) + start);
    } else {
      quant::DecodeNf4(data_, first, last, static_cast<uint16_t*>(values) + start);
    }
  });
  return out.to(dtype);
}

at::Tensor FrozenLinear(const at::Tensor& x_TI, const FrozenWeightPtr& weight,
                        const c10::optional<at::Tensor>& bias_O) {
  return FrozenLinearFunction::apply(x_TI, weight, bias_O);
}

}  // namespace anamnesis::model
