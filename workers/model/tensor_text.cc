// SPDX-License-Identifier: Apache-2.0
#include "workers/model/tensor_text.h"

#include <algorithm>

#include "common/base/status.h"

namespace anamnesis::model {

std::string NamesText(const std::vector<std::string>& names) {
  constexpr size_t kMaxNames = 10;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMaxNames); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMaxNames) text += Cat(" and ", names.size() - kMaxNames, " more");
  return text;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += Cat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

}  // namespace anamnesis::model
