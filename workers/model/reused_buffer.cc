// SPDX-License-Identifier: Apache-2.0
#include "workers/model/reused_buffer.h"

#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

namespace anamnesis::model {
namespace {

constexpr size_t kAlignment = 4096;

struct Buffer {
  void* data = nullptr;
  size_t size = 0;
};

// The buffer that waits for its next use. Never destroyed: tensors may outlive static objects.
struct Kept {
  std::mutex mutex;
  Buffer buffer;
};

Kept& TheKept() {
  static Kept* const kept = new Kept();
  return *kept;
}

Buffer Take(size_t size) {
  Buffer found;
  {
    const std::lock_guard<std::mutex> lock(TheKept().mutex);
    found = std::exchange(TheKept().buffer, Buffer());
  }
  if (found.data != nullptr && found.size >= size) return found;
  std::free(found.data);
  const size_t rounded = (size / kAlignment + 1) * kAlignment;
  void* data = std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr) throw std::bad_alloc();
  return {data, rounded};
}

void GiveBack(Buffer buffer) {
  {
    const std::lock_guard<std::mutex> lock(TheKept().mutex);
    if (buffer.size > TheKept().buffer.size) std::swap(buffer, TheKept().buffer);
  }
  std::free(buffer.data);
}

}  // namespace

at::Tensor ReusedBuffer(at::IntArrayRef sizes, at::ScalarType type) {
  const size_t bytes = static_cast<size_t>(c10::multiply_integers(sizes)) * c10::elementSize(type);
  const Buffer buffer = Take(bytes);
  return at::from_blob(
      buffer.data, sizes, [buffer](void*) { GiveBack(buffer); }, at::TensorOptions(type));
}

}  // namespace anamnesis::model
