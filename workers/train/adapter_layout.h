// SPDX-License-Identifier: Apache-2.0
// What the learners that train a decoder's adapter share.
#pragma once

#include <vector>

#include "common/base/status.h"
#include "workers/adapter/trainable.h"
#include "workers/contract/plan.h"
#include "workers/train/optimizer.h"

namespace anamnesis::train {

// The adapter's parameters in the flat buffers.
std::vector<ParameterSpan> AdapterLayout(const adapter::TrainableModel& model);

// Sets gradient checkpointing, and takes the plan's initial adapter, if it has one and does not
// continue a checkpoint, which has all of it.
Status StartAsPlanned(const contract::TrainPlan& plan, adapter::TrainableModel& model);

}  // namespace anamnesis::train
