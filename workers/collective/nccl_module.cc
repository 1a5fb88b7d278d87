// SPDX-License-Identifier: Apache-2.0
// libanamnesis_cuda.so: NCCL behind two C symbols (cuda_module.h). Built with ANAMNESIS_CUDA=ON
// only.
#include <c10/cuda/CUDAFunctions.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "workers/collective/channel_store.h"
#include "workers/collective/cuda_module.h"
#include "workers/collective/process_group.h"

namespace collective = anamnesis::collective;

extern "C" int anam_cuda_device_count() { return c10::cuda::device_count(); }

extern "C" collective::Group* anam_make_nccl_group(std::shared_ptr<collective::KeyValue> channel,
                                                   const collective::GroupOptions& options) {
  // One rank, one GPU: the gang sets CUDA_VISIBLE_DEVICES, or ranks take the devices in turn.
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(options.rank % c10::cuda::device_count()));
  auto nccl = c10d::ProcessGroupNCCL::Options::create();
  nccl->timeout = options.timeout;
  auto store = c10::make_intrusive<collective::ChannelStore>(std::move(channel), options.prefix);
  store->setTimeout(options.timeout);
  return new collective::ProcessGroup(
      c10::make_intrusive<c10d::ProcessGroupNCCL>(store, options.rank, options.num_ranks, nccl),
      options);
}
