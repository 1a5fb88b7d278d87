// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/slot_watch.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>

#include "common/io/file.h"
#include "common/process/sibling.h"

namespace anamnesis::coordinator {
namespace {

constexpr std::chrono::seconds kPause{2};
constexpr char kCudaModule[] = "libanamnesis_cuda.so";  // of workers/collective/cuda_module.h

std::vector<int> UsableCpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

// With --device auto: this installation can use GPUs.
bool HasCudaModule() {
  const StatusOr<std::string> rank = SiblingProgram("anamnesis-rank");
  return rank.ok() && PathExists(rank->substr(0, rank->rfind('/') + 1) + kCudaModule);
}

}  // namespace

StatusOr<std::unique_ptr<devices::SlotDevices>> OpenSlotDevices(UpOptions* options) {
  std::unique_ptr<devices::SlotDevices> gpus;
  const bool is_local = options->launcher == "local";
  if (is_local && options->device == "cuda") {
    auto opened = devices::SlotDevices::Open(options->slots);
    ANAM_RETURN_IF_ERROR(AddContext(opened.status(), "--device cuda"));
    gpus = *std::move(opened);
  } else if (is_local && options->device == "auto" && HasCudaModule()) {
    auto opened = devices::SlotDevices::Open(options->slots);
    if (opened.ok()) gpus = *std::move(opened);
  }
  if (gpus != nullptr) {
    options->device = "cuda";
    options->slots = static_cast<int64_t>(gpus->uuids().size());
    return gpus;
  }
  if (options->device == "auto") options->device = "cpu";
  if (options->slots == 0) {
    options->slots =
        std::max<int64_t>(1, static_cast<int64_t>(UsableCpus().size()) / options->threads_per_slot);
  }
  return gpus;
}

StatusOr<std::vector<std::vector<int>>> CpusOfSlots(const UpOptions& options) {
  std::vector<std::vector<int>> slots;
  if (!options.pin_cpus || options.launcher != "local") return slots;
  const std::vector<int> cpus = UsableCpus();
  const int64_t needed = options.slots * options.threads_per_slot;
  if (needed > static_cast<int64_t>(cpus.size())) {
    return InvalidArgument("--pin-cpus: ", options.slots, " slots x ", options.threads_per_slot,
                           " threads need ", needed, " CPUs, and this process may use ",
                           cpus.size(), "; ask for fewer --slots or --threads-per-slot");
  }
  auto next = cpus.begin();
  for (int64_t slot = 0; slot < options.slots; ++slot) {
    slots.emplace_back(next, next + options.threads_per_slot);
    next += options.threads_per_slot;
  }
  return slots;
}

SlotWatch::SlotWatch(const devices::SlotDevices& devices, Loop& loop)
    : devices_(devices), loop_(loop) {
  loop_.Post(devices_.Look());
  thread_ = std::thread([this] {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!changed_.wait_for(lock, kPause, [&] { return ends_; })) {
      lock.unlock();  // a driver may take its time
      loop_.Post(devices_.Look());
      lock.lock();
    }
  });
  ::pthread_setname_np(thread_.native_handle(), "slots");
}

SlotWatch::~SlotWatch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

}  // namespace anamnesis::coordinator
