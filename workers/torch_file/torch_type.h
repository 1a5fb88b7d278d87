// SPDX-License-Identifier: Apache-2.0
// Element types of tensors in files of torch.save: the classes that name a storage's type.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace anamnesis::torch_file {

enum class TorchType : uint8_t { kBool, kU8, kI8, kI16, kI32, kI64, kF16, kBF16, kF32, kF64 };

// "FloatStorage" of the module `torch`.
std::string_view StorageClassOf(TorchType type);
std::optional<TorchType> TypeOfStorageClass(std::string_view name);
int64_t BytesOf(TorchType type);

}  // namespace anamnesis::torch_file
