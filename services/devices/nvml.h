// SPDX-License-Identifier: Apache-2.0
// The machine's GPUs as NVIDIA's management library tells of them. The library comes with the
// driver and is loaded when it is there; nothing else of CUDA is needed. Functions: NVML API
// reference, "Device Queries". Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::devices {

struct GpuProcess {
  int64_t pid = 0;
  int64_t memory_bytes = 0;  // 0 where the driver does not say
};

struct Gpu {
  int64_t index = 0;      // NVML's, in order of the PCI bus
  std::string uuid = {};  // "GPU-...": what CUDA_VISIBLE_DEVICES takes
  std::string name = {};
  int64_t memory_bytes = 0, free_bytes = 0;
  std::vector<GpuProcess> processes = {};  // that compute on it
};

class Nvml {
 public:
  // kNotFound: there is no driver. kFailedPrecondition: it does not work, with its own words.
  static StatusOr<std::unique_ptr<Nvml>> Load();
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  // kFailedPrecondition names the GPU that does not answer.
  StatusOr<std::vector<Gpu>> List() const;

 private:
  struct Library;
  explicit Nvml(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
};

// Those that CUDA_VISIBLE_DEVICES leaves: its numbers or UUIDs (also their beginnings), in its
// order, up to the first that names none, as CUDA reads it. nullptr: all.
std::vector<Gpu> Visible(const std::vector<Gpu>& gpus, const char* cuda_visible_devices);

}  // namespace anamnesis::devices
