// SPDX-License-Identifier: Apache-2.0
// Tells ThreadSanitizer of Abseil's locks, on which gRPC stands: Debian builds both without
// instrumentation, and these locks are futexes that it cannot see. The functions stand before those
// of libabsl_synchronization (the dynamic linker takes the program's first), say what they do and
// go on there. Linked into tests of the preset `tsan` alone.
#include <absl/synchronization/mutex.h>
#include <dlfcn.h>

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
