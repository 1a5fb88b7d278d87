// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/rank_environment.h"

#include <string_view>

#include "common/base/status.h"

extern char** environ;

namespace anamnesis::gang {
namespace {

bool IsAllowed(std::string_view name) {
  static constexpr std::string_view kNames[] = {"PATH",
                                                "HOME",
                                                "USER",
                                                "LANG",
                                                "TZ",
                                                "TMPDIR",
                                                "LD_LIBRARY_PATH",
                                                "LD_PRELOAD",
                                                "ASAN_OPTIONS",
                                                "UBSAN_OPTIONS",
                                                "LSAN_OPTIONS",
                                                "CUDA_VISIBLE_DEVICES",
                                                "ATEN_CPU_CAPABILITY"};
  static constexpr std::string_view kPrefixes[] = {"LC_",     "OMP_", "MKL_",  "DNNL_",
                                                   "ONEDNN_", "KMP_", "GLOO_", "NCCL_"};
  for (const std::string_view allowed : kNames) {
    if (name == allowed) return true;
  }
  for (const std::string_view prefix : kPrefixes) {
    if (name.substr(0, prefix.size()) == prefix) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> RankEnvironment(const RankSeat& seat) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (name == "OMP_NUM_THREADS" || name == "OMP_WAIT_POLICY" || !IsAllowed(name)) continue;
    if (name == "CUDA_VISIBLE_DEVICES" && !seat.gpu.empty()) continue;
    environment.emplace_back(text);
  }
  environment.push_back(Cat("OMP_NUM_THREADS=", seat.threads));
  environment.push_back("OMP_WAIT_POLICY=passive");
  if (!seat.gpu.empty()) environment.push_back("CUDA_VISIBLE_DEVICES=" + seat.gpu);
  if (!seat.interface.empty()) environment.push_back("NCCL_SOCKET_IFNAME=" + seat.interface);
  // A row's logits are tens of MB: by default glibc maps and unmaps them each time, and a third of
  // the CPU time goes into page faults. From the heap, never trimmed and in huge pages, it is a
  // fiftieth; peak memory and bits stay the same.
  environment.push_back("MALLOC_MMAP_MAX_=0");
  environment.push_back("MALLOC_TRIM_THRESHOLD_=17179869184");
  environment.push_back("GLIBC_TUNABLES=glibc.malloc.hugetlb=1");
  return environment;
}

}  // namespace anamnesis::gang
