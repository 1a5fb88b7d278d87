// SPDX-License-Identifier: Apache-2.0
// A rank's life: the plan it was started with, and after the loss of a peer those of the next
// epochs.
#pragma once

#include <memory>
#include <string>

#include "workers/train/rank_channel.h"

namespace anamnesis::train {

// Trains what the plan at `first_plan` says. A rank that lost a peer keeps what it has loaded and
// joins the next epoch, if there is one: the worker closes the channel otherwise, which ends the
// process. Torch's exceptions come back as statuses.
Status TrainPlans(const std::string& first_plan, const std::shared_ptr<RankChannel>& channel);

// Tells the worker (nullptr: nobody) and stderr of an error; returns the exit code.
int ReportEnd(const Status& status, RankChannel* channel);

}  // namespace anamnesis::train
