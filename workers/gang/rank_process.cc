// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/rank_process.h"

#include <signal.h>

#include <utility>

namespace anamnesis::gang {
namespace {

class ChildRank final : public RankProcess {
 public:
  explicit ChildRank(ChildProcess child) : child_(std::move(child)) {}

  int ended_fd() const override { return child_.pidfd(); }
  void Kill() override { child_.Signal(SIGKILL); }
  std::optional<ExitState> Poll() override { return child_.Poll(); }
  bool IsStopped() const override { return child_.IsStopped(); }
  bool IsReachable() const override { return true; }
  bool Rejoin(const std::string&) override { return false; }

 private:
  ChildProcess child_;
};

}  // namespace

std::unique_ptr<RankProcess> MakeChildRank(ChildProcess child) {
  return std::make_unique<ChildRank>(std::move(child));
}

}  // namespace anamnesis::gang
