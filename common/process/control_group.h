// SPDX-License-Identifier: Apache-2.0
// Control groups of the kernel (cgroups version 2, or 1 where memory is still there): a memory
// limit for a process and all that it starts. Groups are made beneath that of this process, where
// the machine allows it: as root, or in a unit or container to which the groups were delegated.
// Thread-safe but for two callers of one group.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/status.h"

namespace anamnesis {

class ControlGroups {
 public:
  // kFailedPrecondition says what is missing. With version 2 this process moves into a group
  // `coordinator` of its own: a group with limits beneath it has no processes.
  static StatusOr<std::unique_ptr<ControlGroups>> Open();

  // Makes the group, or takes it as it is, with this limit.
  Status Limit(const std::string& name, int64_t memory_bytes) const;
  // From now on the process, and what it starts, is in the group.
  Status Enter(const std::string& name, int pid) const;
  // Once nothing runs in it; before, it stays.
  void Remove(const std::string& name) const;

 private:
  ControlGroups(std::string folder, bool unified) : folder_(std::move(folder)), unified_(unified) {}

  const std::string folder_;
  const bool unified_;  // version 2
};

// How often the kernel has ended a process of this process's group for the group's memory limit; 0
// where it does not say.
int64_t OomKills();

}  // namespace anamnesis
