// SPDX-License-Identifier: Apache-2.0
#include "workers/model/weights.h"

#include <array>
#include <utility>

namespace anamnesis::model {
namespace {

constexpr std::array<std::pair<StoredType, at::ScalarType>, 10> kPairs = {{
    {StoredType::kBool, at::kBool},
    {StoredType::kU8, at::kByte},
    {StoredType::kI8, at::kChar},
    {StoredType::kI16, at::kShort},
    {StoredType::kF16, at::kHalf},
    {StoredType::kBF16, at::kBFloat16},
    {StoredType::kI32, at::kInt},
    {StoredType::kF32, at::kFloat},
    {StoredType::kF64, at::kDouble},
    {StoredType::kI64, at::kLong},
}};

}  // namespace

StatusOr<at::ScalarType> ScalarTypeOf(StoredType type) {
  for (const auto& [stored, scalar] : kPairs) {
    if (stored == type) return scalar;
  }
  return InvalidArgument("dtype ", StoredTypeName(type), " cannot be loaded");
}

StatusOr<StoredType> StoredTypeOf(at::ScalarType type) {
  for (const auto& [stored, scalar] : kPairs) {
    if (scalar == type) return stored;
  }
  return InvalidArgument("a tensor of dtype ", c10::toString(type), " cannot be stored");
}

StatusOr<at::Tensor> ReadTensor(const TensorFile& file, const StoredTensor& tensor) {
  ANAM_ASSIGN_OR_RETURN(const at::ScalarType scalar, ScalarTypeOf(tensor.type));
  at::Tensor out = at::empty(tensor.shape, at::TensorOptions().dtype(scalar));
  if (tensor.size_bytes > 0) ANAM_RETURN_IF_ERROR(file.Read(tensor, out.data_ptr()));
  return out;
}

StatusOr<at::Tensor> ReadFinite(const TensorFile& file, const StoredTensor& tensor) {
  ANAM_ASSIGN_OR_RETURN(at::Tensor values, ReadTensor(file, tensor));
  if (at::isFloatingType(values.scalar_type()) && !at::isfinite(values).all().item<bool>()) {
    return InvalidArgument(file.path(), ": tensor '", tensor.name,
                           "' holds a NaN or an infinity; the checkpoint is damaged or its "
                           "training diverged: take another one");
  }
  return values;
}

StatusOr<TensorView> ViewOf(const std::string& name, const at::Tensor& tensor) {
  if (!tensor.is_contiguous() || !tensor.device().is_cpu()) {
    return Internal("tensor '", name, "' is not contiguous in main memory");
  }
  ANAM_ASSIGN_OR_RETURN(const StoredType type, StoredTypeOf(tensor.scalar_type()));
  return TensorView{name, type, tensor.sizes().vec(), tensor.const_data_ptr()};
}

}  // namespace anamnesis::model
