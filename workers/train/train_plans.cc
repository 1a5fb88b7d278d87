// SPDX-License-Identifier: Apache-2.0
#include "workers/train/train_plans.h"

#include <cstdio>

#include "workers/contract/plan.h"
#include "workers/contract/report.h"
#include "workers/train/status_from_torch.h"
#include "workers/train/trainer.h"

namespace anamnesis::train {
namespace {

void ReportError(const Status& status, RankChannel& channel) {
  std::fprintf(stderr, "anamnesis-rank: %s\n", MessageOf(status).c_str());
  channel.Report("error", contract::ErrorMessage(status)).IgnoreError();
}

}  // namespace

Status TrainPlans(const std::string& first_plan, const std::shared_ptr<RankChannel>& channel) {
  std::unique_ptr<Trainer> trainer;
  std::string path = first_plan;
  for (;;) {
    ANAM_ASSIGN_OR_RETURN(const contract::TrainPlan plan, contract::ReadTrainPlan(path));
    const Status status = StatusFromTorch([&]() -> Status {
      if (trainer != nullptr) {
        ANAM_RETURN_IF_ERROR(trainer->Rejoin(plan));
      } else {
        ANAM_ASSIGN_OR_RETURN(trainer, Trainer::Create(plan, channel));
      }
      return trainer->Run();
    });
    if (!absl::IsUnavailable(status) || trainer == nullptr || !channel->connected()) return status;
    ReportError(status, *channel);
    ANAM_ASSIGN_OR_RETURN(path, channel->WaitRejoin());
  }
}

int ReportEnd(const Status& status, RankChannel* channel) {
  if (status.ok()) return 0;
  // A stop that was asked for is no error; `done` has been sent.
  if (channel != nullptr && !absl::IsAborted(status)) {
    ReportError(status, *channel);
  } else {
    std::fprintf(stderr, "anamnesis-rank: %s\n", MessageOf(status).c_str());
  }
  return absl::IsAborted(status) ? 130 : ExitCodeOf(status);
}

}  // namespace anamnesis::train
