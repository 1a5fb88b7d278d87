// SPDX-License-Identifier: Apache-2.0
// `anamnesis-rank --predict`: scores every subject of a split and writes the file of predictions.
#pragma once

#include <string>

#include "common/base/status.h"
#include "common/base/work_progress.h"

namespace anamnesis::train {

// Does what the plan at `plan_path` says (contract/predict_plan.h). The file appears whole or not
// at all. `progress` is in subjects. Torch's exceptions come back as statuses.
Status Predict(const std::string& plan_path, const WorkProgress& progress);

}  // namespace anamnesis::train
