// SPDX-License-Identifier: Apache-2.0
// Loads libanamnesis_cuda.so, which brings libtorch_cuda and NCCL, only when a plan asks for device
// cuda.
#include "workers/collective/cuda_module.h"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <mutex>
#include <string>

namespace anamnesis::collective {
namespace {

std::string OwnDirectory() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  const std::string program = size > 0 ? std::string(path, static_cast<size_t>(size)) : "";
  const size_t slash = program.rfind('/');
  return slash == std::string::npos ? "." : program.substr(0, slash);
}

StatusOr<void*> Open() {
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return FailedPrecondition("device cuda: no NVIDIA driver on this machine (", dlerror(),
                              "); use a machine with a GPU, or device cpu");
  }
  const std::string path = OwnDirectory() + "/" + kCudaModuleName;
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (module == nullptr) {
    return FailedPrecondition("device cuda: the CUDA module cannot be loaded (", dlerror(),
                              "); build it with the preset gpu after tools/bootstrap --gpu");
  }
  return module;
}

}  // namespace

StatusOr<CudaModule> LoadCudaModule() {
  static std::mutex mutex;
  static void* module = nullptr;  // stays loaded: libtorch_cuda cannot be unloaded
  const std::lock_guard<std::mutex> lock(mutex);
  if (module == nullptr) {
    ANAM_ASSIGN_OR_RETURN(module, Open());
  }
  CudaModule functions;
  functions.device_count =
      reinterpret_cast<CudaDeviceCountFunction>(dlsym(module, "anam_cuda_device_count"));
  functions.make_group =
      reinterpret_cast<MakeNcclGroupFunction>(dlsym(module, "anam_make_nccl_group"));
  if (functions.device_count == nullptr || functions.make_group == nullptr) {
    return FailedPrecondition("device cuda: ", kCudaModuleName,
                              " is of another version; rebuild it");
  }
  const int count = functions.device_count();
  if (count <= 0) {
    return FailedPrecondition("device cuda: the driver is there but shows no GPU to this process");
  }
  return functions;
}

StatusOr<std::unique_ptr<Group>> MakeNcclGroup(std::shared_ptr<KeyValue> channel,
                                               const GroupOptions& options) {
  ANAM_ASSIGN_OR_RETURN(const CudaModule module, LoadCudaModule());
  return std::unique_ptr<Group>(module.make_group(std::move(channel), options));
}

}  // namespace anamnesis::collective
