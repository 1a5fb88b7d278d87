// SPDX-License-Identifier: Apache-2.0
// A whole safetensors file. What is accepted can be read to its last byte and laid out again.
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "workers/model/safetensors.h"

namespace {

using namespace anamnesis::model;

// A nameless file in memory, overwritten for every input, because the parser reads a path.
std::string PathOf(const uint8_t* data, size_t size) {
  static const int fd = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) {
    __builtin_trap();
  }
  return anamnesis::Cat("/proc/self/fd/", fd);
}

std::string FileOf(const std::vector<TensorView>& tensors, size_t data_bytes) {
  return LayoutSafetensors(tensors, {{"format", "pt"}})->header + std::string(data_bytes, '\x3f');
}

// The same tensors in a header of our own making, in its order of bytes.
void LayOutAgain(const SafetensorsFile& file) {
  std::vector<TensorView> views;
  uint64_t data_bytes = 0;
  for (const StoredTensor& tensor : file.tensors()) {
    if (file.Find(tensor.name) != &tensor || tensor.NumElements() < 0) __builtin_trap();
    std::string bytes(tensor.size_bytes, '\0');
    if (!file.Read(tensor, bytes.data()).ok()) __builtin_trap();
    views.push_back({tensor.name, tensor.type, tensor.shape, nullptr});
    data_bytes += tensor.size_bytes;
  }
  const auto layout = LayoutSafetensors(views, file.metadata());
  if (!layout.ok()) __builtin_trap();
  std::vector<StoredTensor> tensors;
  std::map<std::string, std::string> metadata;
  if (!ParseSafetensorsHeader(layout->header.substr(8), data_bytes, "fuzz", &tensors, &metadata)
           .ok() ||
      tensors.size() != views.size() || metadata != file.metadata()) {
    __builtin_trap();
  }
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {FileOf({{"model.a.weight", StoredType::kF32, {2, 3}, nullptr},
                  {"model.b.weight", StoredType::kBF16, {4}, nullptr},
                  {"scalar", StoredType::kI64, {}, nullptr},
                  {"none", StoredType::kU8, {0, 4}, nullptr}},
                 24 + 8 + 8),
          FileOf({}, 0)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = SafetensorsFile::Open(PathOf(data, size));
  if (file.ok()) {
    LayOutAgain(*file);
  } else if (file.status().code() != absl::StatusCode::kDataLoss) {
    __builtin_trap();
  }
  return 0;
}
