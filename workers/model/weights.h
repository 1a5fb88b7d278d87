// SPDX-License-Identifier: Apache-2.0
// Stored tensors as Torch tensors: one positioned read per tensor, then a conversion to the compute
// dtype; never a copy of the whole file.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "common/base/status.h"
#include "workers/model/safetensors.h"

namespace anamnesis::model {

// The Torch dtype of a stored type; unsigned types wider than 8 bits have none here
// (kInvalidArgument).
StatusOr<at::ScalarType> ScalarTypeOf(StoredType type);
StatusOr<StoredType> StoredTypeOf(at::ScalarType type);

// Reads a tensor of an open file in its stored dtype.
StatusOr<at::Tensor> ReadTensor(const TensorFile& file, const StoredTensor& tensor);

// The same, for weights that are computed with: kInvalidArgument names the tensor when a value is
// NaN or infinite.
StatusOr<at::Tensor> ReadFinite(const TensorFile& file, const StoredTensor& tensor);

// A contiguous CPU tensor as a view for the writer; `tensor` must outlive it.
StatusOr<TensorView> ViewOf(const std::string& name, const at::Tensor& tensor);

}  // namespace anamnesis::model
