// SPDX-License-Identifier: Apache-2.0
// The CUDA module: a shared library beside the program that holds everything that needs
// libtorch_cuda, so that a CPU machine neither downloads nor loads it. LoadCudaModule never
// crashes: kFailedPrecondition names what is missing.
#pragma once

#include <memory>

#include "common/base/status.h"
#include "workers/collective/group.h"

namespace anamnesis::collective {

inline constexpr char kCudaModuleName[] = "libanamnesis_cuda.so";

// C symbols of the module. Both sides are built together; the types are C++.
using CudaDeviceCountFunction = int (*)();
using MakeNcclGroupFunction = Group* (*)(std::shared_ptr<KeyValue> channel,
                                         const GroupOptions& options);  // caller owns; may throw

struct CudaModule {
  CudaDeviceCountFunction device_count = nullptr;
  MakeNcclGroupFunction make_group = nullptr;
};

// Loads the module once per process and checks that a GPU is visible. Thread-safe.
StatusOr<CudaModule> LoadCudaModule();

}  // namespace anamnesis::collective
