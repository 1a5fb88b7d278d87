// SPDX-License-Identifier: Apache-2.0
// Group: the few collectives that training uses, over Gloo on CPUs and NCCL on GPUs. Torch's
// exceptions fly; a peer that is gone throws c10::DistError. All members call the same operations
// in the same order. Thread-compatible.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <memory>
#include <vector>

#include "common/base/status.h"
#include "workers/collective/key_value.h"

namespace anamnesis::collective {

class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Every rank's `input` (same shape, contiguous fp32 or fp64 or int64), in rank order.
  virtual std::vector<at::Tensor> AllGather(const at::Tensor& input) = 0;
  virtual void AllReduceSum(at::Tensor& inout) = 0;  // order of summation is the library's own
  virtual void Barrier() = 0;
};

struct GroupOptions {
  int rank = 0;
  int num_ranks = 1;
  std::string prefix;     // of all rendezvous keys: run id and epoch
  std::string interface;  // of the network; "": all ranks are on this machine
  std::chrono::milliseconds timeout = std::chrono::minutes(30);
};

// A group of one, on any device.
std::unique_ptr<Group> MakeSingleGroup();

// Gloo over loopback, or over the interface. Throws c10::DistError; from then on this process
// ignores SIGPIPE.
std::unique_ptr<Group> MakeGlooGroup(std::shared_ptr<KeyValue> channel,
                                     const GroupOptions& options);

// NCCL out of libanamnesis_cuda.so, which is loaded here. kFailedPrecondition names what is
// missing: the driver, the module, a device.
StatusOr<std::unique_ptr<Group>> MakeNcclGroup(std::shared_ptr<KeyValue> channel,
                                               const GroupOptions& options);

}  // namespace anamnesis::collective
