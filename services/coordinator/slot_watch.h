// SPDX-License-Identifier: Apache-2.0
// What the slots of this machine are, and a thread that looks at their GPUs for the loop.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "services/coordinator/loop.h"
#include "services/coordinator/up_options.h"
#include "services/devices/slot_devices.h"

namespace anamnesis::coordinator {

// The GPUs that --device makes the slots, or nullptr where slots are CPUs or an engine's. Sets
// options->slots and device to what they are. kInvalidArgument: --device cuda without enough GPUs.
StatusOr<std::unique_ptr<devices::SlotDevices>> OpenSlotDevices(UpOptions* options);

// The CPUs of each slot with --pin-cpus, by its number; none without. kInvalidArgument: there are
// not enough.
StatusOr<std::vector<std::vector<int>>> CpusOfSlots(const UpOptions& options);

// Tells the loop how the devices are: once before it begins, and every two seconds from then on.
class SlotWatch {
 public:
  SlotWatch(const devices::SlotDevices& devices, Loop& loop);  // both outlive this
  ~SlotWatch();
  SlotWatch(const SlotWatch&) = delete;
  SlotWatch& operator=(const SlotWatch&) = delete;

 private:
  const devices::SlotDevices& devices_;
  Loop& loop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace anamnesis::coordinator
