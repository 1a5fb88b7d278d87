// SPDX-License-Identifier: Apache-2.0
#include "workers/torch_file/torch_type.h"

#include <array>

namespace anamnesis::torch_file {
namespace {

struct Row {
  std::string_view storage_class;
  int64_t bytes;
};
constexpr std::array<Row, 10> kRows = {{{"BoolStorage", 1},
                                        {"ByteStorage", 1},
                                        {"CharStorage", 1},
                                        {"ShortStorage", 2},
                                        {"IntStorage", 4},
                                        {"LongStorage", 8},
                                        {"HalfStorage", 2},
                                        {"BFloat16Storage", 2},
                                        {"FloatStorage", 4},
                                        {"DoubleStorage", 8}}};

}  // namespace

std::string_view StorageClassOf(TorchType type) {
  return kRows[static_cast<size_t>(type)].storage_class;
}

std::optional<TorchType> TypeOfStorageClass(std::string_view name) {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].storage_class == name) return static_cast<TorchType>(i);
  }
  return std::nullopt;
}

int64_t BytesOf(TorchType type) { return kRows[static_cast<size_t>(type)].bytes; }

}  // namespace anamnesis::torch_file
