// SPDX-License-Identifier: Apache-2.0
#include "services/devices/slot_devices.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <utility>

namespace anamnesis::devices {
namespace {

// "" for a process that is not to be seen from here (another container's).
std::string NameOfProcess(int64_t pid) {
  std::ifstream file(Cat("/proc/", pid, "/comm"));
  std::string name;
  std::getline(file, name);
  return name;
}

core::SlotProcess Describe(const GpuProcess& process) {
  const pid_t session = process.pid > 0 ? ::getsid(static_cast<pid_t>(process.pid)) : -1;
  return {.pid = process.pid,
          .session = session > 0 ? session : 0,
          .name = NameOfProcess(process.pid),
          .memory_bytes = process.memory_bytes};
}

}  // namespace

core::SlotsSeen SightOf(const StatusOr<std::vector<Gpu>>& gpus,
                        const std::vector<std::string>& slot_uuids) {
  core::SlotsSeen seen;
  for (size_t slot = 0; slot < slot_uuids.size(); ++slot) {
    core::SlotSight& sight = seen.slots.emplace_back();
    sight.slot = static_cast<int64_t>(slot);
    sight.device = slot_uuids[slot];
    if (!gpus.ok()) {
      sight.fault = MessageOf(gpus.status());
      continue;
    }
    const auto found = std::find_if(gpus->begin(), gpus->end(),
                                    [&](const Gpu& gpu) { return gpu.uuid == slot_uuids[slot]; });
    if (found == gpus->end()) {
      sight.fault = Cat(slot_uuids[slot], " is not there any more");
      continue;
    }
    sight.device = Cat("GPU ", found->index, " (", found->name, ")");
    sight.memory_bytes = found->memory_bytes;
    sight.free_bytes = found->free_bytes;
    for (const GpuProcess& process : found->processes) {
      sight.processes.push_back(Describe(process));
    }
  }
  return seen;
}

StatusOr<std::unique_ptr<SlotDevices>> SlotDevices::Open(int64_t slots) {
  ANAM_ASSIGN_OR_RETURN(std::unique_ptr<Nvml> nvml, Nvml::Load());
  ANAM_ASSIGN_OR_RETURN(const std::vector<Gpu> all, nvml->List());
  const std::vector<Gpu> gpus = Visible(all, std::getenv("CUDA_VISIBLE_DEVICES"));
  if (gpus.empty() || slots > static_cast<int64_t>(gpus.size())) {
    return InvalidArgument("a slot is a GPU, and this machine has ", gpus.size(),
                           gpus.size() == all.size() ? "" : " that CUDA_VISIBLE_DEVICES leaves",
                           "; ask for as many --slots, or for --device cpu");
  }
  std::vector<std::string> uuids;
  for (const Gpu& gpu : gpus) uuids.push_back(gpu.uuid);
  if (slots > 0) uuids.resize(static_cast<size_t>(slots));
  return std::unique_ptr<SlotDevices>(new SlotDevices(std::move(nvml), std::move(uuids)));
}

core::SlotsSeen SlotDevices::Look() const { return SightOf(nvml_->List(), uuids_); }

}  // namespace anamnesis::devices
