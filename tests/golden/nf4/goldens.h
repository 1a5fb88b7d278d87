// SPDX-License-Identifier: Apache-2.0
// What make_nf4.py writes, made at the first call.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>

namespace anamnesis::golden {

using Tensors = std::map<std::string, at::Tensor>;

// The script's directory; empty when it failed.
const std::string& Nf4Directory();

// All tensors of a safetensors file below it.
Tensors Nf4Tensors(const std::string& file);

}  // namespace anamnesis::golden
