// SPDX-License-Identifier: Apache-2.0
// SlotDevices: the GPUs that are the slots of this machine, looked at again and again, so that
// nobody is placed on one that somebody else uses (core::SlotsSeen). Thread-compatible.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "services/core/event.h"
#include "services/devices/nvml.h"

namespace anamnesis::devices {

class SlotDevices {
 public:
  // One slot for each of the first `slots` visible GPUs; all of them with 0. kInvalidArgument:
  // there are fewer. Errors of Nvml::Load and List.
  static StatusOr<std::unique_ptr<SlotDevices>> Open(int64_t slots);

  const std::vector<std::string>& uuids() const { return uuids_; }  // of the slots
  // How they are now. A GPU that does not answer has a fault that says so.
  core::SlotsSeen Look() const;

 private:
  SlotDevices(std::unique_ptr<Nvml> nvml, std::vector<std::string> uuids)
      : nvml_(std::move(nvml)), uuids_(std::move(uuids)) {}

  const std::unique_ptr<Nvml> nvml_;
  const std::vector<std::string> uuids_;
};

// What was seen of the GPUs, by slot; processes get their names and sessions from /proc.
core::SlotsSeen SightOf(const StatusOr<std::vector<Gpu>>& gpus,
                        const std::vector<std::string>& slot_uuids);

}  // namespace anamnesis::devices
