// SPDX-License-Identifier: Apache-2.0
// Tells ThreadSanitizer what orders threads within gRPC and Abseil, which Debian builds without
// instrumentation: Abseil's locks (futexes, which it cannot see) and the way of an operation from
// the thread that starts it to the one that calls back. The functions stand before those of the
// libraries (the dynamic linker takes the program's first), say what they do and go on there.
// Linked into tests of the preset `tsan` alone.
#include <absl/synchronization/mutex.h>
#include <dlfcn.h>
#include <grpc/grpc.h>

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}

namespace {

// The function that this one stands before.
template <typename Result, typename... Arguments>
auto Behind(const char* symbol) {
  return reinterpret_cast<Result (*)(Arguments...)>(::dlsym(RTLD_NEXT, symbol));
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

#define ABSEIL(symbol) "_ZN4absl7debian3" symbol

void Mutex::Lock() {
  static const auto lock = Behind<void, Mutex*>(ABSEIL("5Mutex4LockEv"));
  lock(this);
  __tsan_acquire(this);
}

bool Mutex::TryLock() {
  static const auto try_lock = Behind<bool, Mutex*>(ABSEIL("5Mutex7TryLockEv"));
  const bool locked = try_lock(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::Unlock() {
  static const auto unlock = Behind<void, Mutex*>(ABSEIL("5Mutex6UnlockEv"));
  __tsan_release(this);
  unlock(this);
}

void CondVar::Wait(Mutex* mutex) {
  static const auto wait = Behind<void, CondVar*, Mutex*>(ABSEIL("7CondVar4WaitEPNS0_5MutexE"));
  __tsan_release(mutex);
  wait(this, mutex);
  __tsan_acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, absl::Duration timeout) {
  static const auto wait = Behind<bool, CondVar*, Mutex*, absl::Duration>(
      ABSEIL("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"));
  __tsan_release(mutex);
  const bool late = wait(this, mutex, timeout);
  __tsan_acquire(mutex);
  return late;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, absl::Time deadline) {
  static const auto wait = Behind<bool, CondVar*, Mutex*, absl::Time>(
      ABSEIL("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"));
  __tsan_release(mutex);
  const bool late = wait(this, mutex, deadline);
  __tsan_acquire(mutex);
  return late;
}

#undef ABSEIL

ABSL_NAMESPACE_END
}  // namespace absl

// A batch of operations is handed over here, and its callback begins with the release of the call.
extern "C" grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops,
                                                 size_t num_ops, void* tag, void* reserved) {
  static const auto start =
      Behind<grpc_call_error, grpc_call*, const grpc_op*, size_t, void*, void*>(
          "grpc_call_start_batch");
  __tsan_release(call);
  return start(call, ops, num_ops, tag, reserved);
}

extern "C" void grpc_call_unref(grpc_call* call) {
  static const auto unref = Behind<void, grpc_call*>("grpc_call_unref");
  __tsan_acquire(call);
  __tsan_release(call);
  unref(call);
}
