// SPDX-License-Identifier: Apache-2.0
#include "workers/model/dtype.h"

namespace anamnesis::model {

StatusOr<at::ScalarType> DtypeNamed(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  return Unimplemented("model dtype: ", name,
                       " is not built yet; supported: float32, bfloat16, float16");
}

}  // namespace anamnesis::model
