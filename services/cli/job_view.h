// SPDX-License-Identifier: Apache-2.0
// A job as people and scripts see it: enum names without prefix, JSON with the keys of the
// contract, rows of tables, the page of `describe`. Thread-safe (pure).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace google::protobuf {
class Timestamp;
}
namespace anamnesis::v1 {
class Checkpoint;
class Job;
class MetricPoint;
class Progress;
}  // namespace anamnesis::v1

namespace anamnesis::cli {

using OrderedJson = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

// "running"; "unknown_37" for a value of a newer coordinator.
std::string StateName(int job_state);
std::string AttemptStateName(int attempt_state);
std::string ReasonName(int reason);
std::string CheckpointStateName(int checkpoint_state);
// The state's number by that name, 0 where there is none.
int StateFromName(const std::string& name);
// Every state's name, in the order of a job's life.
std::vector<std::string> StateNames();

// Terminal: the job will not change any more.
bool HasEnded(int job_state);

// Unset is absl::InfinitePast().
absl::Time TimeOf(const google::protobuf::Timestamp& stamp);

// `full` adds the spec as submitted, transitions and the resolved spec.
OrderedJson JobJson(const v1::Job& job, bool full);
OrderedJson CheckpointJson(const v1::Checkpoint& checkpoint);
OrderedJson MetricPointJson(const v1::MetricPoint& point);

// Head and one row per job; `wide` adds columns.
Rows JobRows(const std::vector<v1::Job>& jobs, bool wide, absl::Time now);
Rows CheckpointRows(const std::vector<v1::Checkpoint>& checkpoints, absl::Time now);

// Of a phase whose end is known: "shards 45 %"; else "shards".
std::string PhaseText(const v1::Progress& progress);
// "120/400 (30%)"; before the first step "shards 45 %", or "-".
std::string ProgressText(const v1::Job& job);
// The metric's last value, "-" where there is none.
// "wandb sync 'FOLDER'", or "".
std::string WandbText(const v1::Job& job);
std::string MetricText(const v1::Job& job, const std::string& name);

}  // namespace anamnesis::cli
