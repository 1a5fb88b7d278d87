// SPDX-License-Identifier: Apache-2.0
// Tensors in the words of errors. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace anamnesis::model {

// "a, b, c"; of more than ten names "…, j and 5 more".
std::string NamesText(const std::vector<std::string>& names);

// "[3, 4]".
std::string ShapeText(const std::vector<int64_t>& shape);

}  // namespace anamnesis::model
