// SPDX-License-Identifier: Apache-2.0
// The page that `anamnesis describe JOB` prints. Thread-safe (pure).
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace anamnesis::v1 {
class Checkpoint;
class Job;
}  // namespace anamnesis::v1

namespace anamnesis::cli {

// `job` in the full view. Times are shown in `zone`. `tuning_losses`, of its evaluations in order,
// are for the advice.
std::string DescribeText(const v1::Job& job, const std::vector<v1::Checkpoint>& checkpoints,
                         absl::Time now, absl::TimeZone zone,
                         const std::vector<double>& tuning_losses = {});

}  // namespace anamnesis::cli
