// SPDX-License-Identifier: Apache-2.0
#include "services/devices/nvml.h"

#include <dlfcn.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace anamnesis::devices {
namespace {

constexpr char kLibrary[] = "libnvidia-ml.so.1";
constexpr int kSuccess = 0;
constexpr int kInsufficientSize = 7;
constexpr unsigned kTextBytes = 96;  // NVML_DEVICE_UUID_V2_BUFFER_SIZE and _NAME_V2_

// The ABI of NVML, as its version 2 and 3 functions have it.
using Device = struct DeviceHandle*;
struct MemoryInfo {
  unsigned long long total, free, used;
};
struct ProcessInfo {
  unsigned pid;
  unsigned long long used_bytes;  // all ones: not known
  unsigned gpu_instance, compute_instance;
};

int64_t Bytes(unsigned long long bytes) {
  return bytes > static_cast<unsigned long long>(INT64_MAX) ? 0 : static_cast<int64_t>(bytes);
}

}  // namespace

struct Nvml::Library {
  void* handle = nullptr;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*by_index)(unsigned, Device*) = nullptr;
  int (*uuid)(Device, char*, unsigned) = nullptr;
  int (*name)(Device, char*, unsigned) = nullptr;
  int (*memory)(Device, MemoryInfo*) = nullptr;
  int (*processes)(Device, unsigned*, ProcessInfo*) = nullptr;

  template <typename Function>
  bool Find(const char* symbol, Function* function) {
    *function = reinterpret_cast<Function>(::dlsym(handle, symbol));
    return *function != nullptr;
  }

  Status Check(int code, const std::string& what) const {
    if (code == kSuccess) return absl::OkStatus();
    return FailedPrecondition("NVIDIA's driver: ", what, ": ", error_string(code));
  }

  Status ReadProcesses(Device device, const std::string& what, Gpu* gpu) const {
    std::vector<ProcessInfo> found(16);
    auto size = static_cast<unsigned>(found.size());
    int code = processes(device, &size, found.data());
    while (code == kInsufficientSize && found.size() < 65536) {  // they may grow meanwhile
      found.resize(2 * std::max<size_t>(found.size(), size));
      size = static_cast<unsigned>(found.size());
      code = processes(device, &size, found.data());
    }
    ANAM_RETURN_IF_ERROR(Check(code, what));
    for (unsigned i = 0; i < size; ++i) {
      gpu->processes.push_back({.pid = found[i].pid, .memory_bytes = Bytes(found[i].used_bytes)});
    }
    return absl::OkStatus();
  }

  StatusOr<Gpu> Read(unsigned index) const {
    const std::string what = Cat("GPU ", index);
    Gpu gpu{.index = index};
    Device device = nullptr;
    ANAM_RETURN_IF_ERROR(Check(by_index(index, &device), what));
    char text[kTextBytes] = "";
    ANAM_RETURN_IF_ERROR(Check(uuid(device, text, sizeof text), what));
    gpu.uuid = text;
    ANAM_RETURN_IF_ERROR(Check(name(device, text, sizeof text), what));
    gpu.name = text;
    MemoryInfo info{};
    ANAM_RETURN_IF_ERROR(Check(memory(device, &info), what));
    gpu.memory_bytes = Bytes(info.total);
    gpu.free_bytes = Bytes(info.free);
    ANAM_RETURN_IF_ERROR(ReadProcesses(device, what, &gpu));
    return gpu;
  }
};

StatusOr<std::unique_ptr<Nvml>> Nvml::Load() {
  auto library = std::make_unique<Library>();
  library->handle = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library->handle == nullptr) return NotFound("no NVIDIA driver here (", kLibrary, ")");
  if (!library->Find("nvmlInit_v2", &library->init) ||
      !library->Find("nvmlShutdown", &library->shutdown) ||
      !library->Find("nvmlErrorString", &library->error_string) ||
      !library->Find("nvmlDeviceGetCount_v2", &library->count) ||
      !library->Find("nvmlDeviceGetHandleByIndex_v2", &library->by_index) ||
      !library->Find("nvmlDeviceGetUUID", &library->uuid) ||
      !library->Find("nvmlDeviceGetName", &library->name) ||
      !library->Find("nvmlDeviceGetMemoryInfo", &library->memory) ||
      !library->Find("nvmlDeviceGetComputeRunningProcesses_v3", &library->processes)) {
    ::dlclose(library->handle);
    return FailedPrecondition("NVIDIA's driver is older than its branch 510: ", kLibrary,
                              " lacks a function; install a newer one");
  }
  const Status ready = library->Check(library->init(), "it cannot be used");
  if (!ready.ok()) {
    ::dlclose(library->handle);
    return ready;
  }
  return std::unique_ptr<Nvml>(new Nvml(std::move(library)));
}

Nvml::Nvml(std::unique_ptr<Library> library) : library_(std::move(library)) {}

Nvml::~Nvml() {
  library_->shutdown();
  ::dlclose(library_->handle);
}

StatusOr<std::vector<Gpu>> Nvml::List() const {
  unsigned count = 0;
  ANAM_RETURN_IF_ERROR(library_->Check(library_->count(&count), "its GPUs cannot be counted"));
  std::vector<Gpu> gpus;
  for (unsigned index = 0; index < count; ++index) {
    ANAM_ASSIGN_OR_RETURN(Gpu gpu, library_->Read(index));
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

std::vector<Gpu> Visible(const std::vector<Gpu>& gpus, const char* cuda_visible_devices) {
  if (cuda_visible_devices == nullptr) return gpus;
  std::vector<Gpu> visible;
  std::string_view rest = cuda_visible_devices;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    int64_t index = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), index);
    const bool is_number = error == std::errc() && end == word.data() + word.size();
    const auto found = std::find_if(gpus.begin(), gpus.end(), [&](const Gpu& gpu) {
      return is_number ? gpu.index == index : word.size() > 4 && gpu.uuid.starts_with(word);
    });
    if (found == gpus.end()) break;
    visible.push_back(*found);
  }
  return visible;
}

}  // namespace anamnesis::devices
