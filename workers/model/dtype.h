// SPDX-License-Identifier: Apache-2.0
// The compute dtypes that plans and config.json name.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "common/base/status.h"

namespace anamnesis::model {

// float32, bfloat16 or float16; kUnimplemented for any other name.
StatusOr<at::ScalarType> DtypeNamed(const std::string& name);

}  // namespace anamnesis::model
