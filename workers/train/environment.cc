// SPDX-License-Identifier: Apache-2.0
#include "workers/train/environment.h"

#include <ATen/Version.h>
#include <torch/version.h>

#include <fstream>

#include "common/base/status.h"

namespace anamnesis::train {
namespace {

std::string CpuModel() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

checkpoint::Environment ThisEnvironment(int threads) {
  checkpoint::Environment environment;
  environment.cpu_model = CpuModel();
  environment.instruction_set = at::get_cpu_capability();
  environment.torch_version = TORCH_VERSION;
  environment.threads = threads;
  return environment;
}

std::string WhyBitsDiffer(const checkpoint::Environment& before,
                          const checkpoint::Environment& now) {
  if (before.cpu_model != now.cpu_model) {
    return Cat("CPU model: ", before.cpu_model, " before, ", now.cpu_model, " now");
  }
  if (before.instruction_set != now.instruction_set) {
    return Cat("instruction set: ", before.instruction_set, " before, ", now.instruction_set,
               " now");
  }
  if (before.torch_version != now.torch_version) {
    return Cat("LibTorch: ", before.torch_version, " before, ", now.torch_version, " now");
  }
  if (before.threads != now.threads) {
    return Cat("threads per rank: ", before.threads, " before, ", now.threads, " now");
  }
  return "";
}

}  // namespace anamnesis::train
