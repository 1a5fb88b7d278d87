// SPDX-License-Identifier: Apache-2.0
#include "workers/train/status_from_torch.h"

#include <c10/util/Exception.h>

#include <new>
#include <string>

namespace anamnesis::train {
namespace {

// The first line: the rest is a stack trace.
std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

Status StatusFromTorch(const std::function<Status()>& body) {
  try {
    return body();
  } catch (const c10::OutOfMemoryError& error) {
    return ResourceExhausted("out of device memory: ", FirstLine(error.what_without_backtrace()));
  } catch (const c10::DistError& error) {
    return Unavailable(FirstLine(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    const std::string text = FirstLine(error.what_without_backtrace());
    // The CPU allocator has no type of its own.
    if (text.find("DefaultCPUAllocator") != std::string::npos) return ResourceExhausted(text);
    return Internal(text);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("out of memory");
  }
}

}  // namespace anamnesis::train
