// SPDX-License-Identifier: Apache-2.0
// What the finished preparation knows of the data, for advice (common/config/advice.h).
#pragma once

#include "anamnesis/v1/job.pb.h"
#include "workers/agent/data_stage.h"

namespace anamnesis::agent {

// From the manifest of the shards and the totals of train's index; what these do not say is unset.
StatusOr<v1::DataFacts> MakeDataFacts(const DataStage& data);

}  // namespace anamnesis::agent
