// SPDX-License-Identifier: Apache-2.0
// What the trackers make of one row of trainer_state's log_history: HF's names for it
// (transformers integration_utils.py, rewrite_logs): eval_x -> eval/x, test_x -> test/x, all else
// train/x. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/io/json.h"

namespace anamnesis::track {

using Scalars = std::vector<std::pair<std::string, double>>;  // tag, value

// The row's numbers by tag, without `step`. A number that JSON lacks may be one of the strings
// "nan", "inf", "-inf"; other texts, lists and nulls are no scalars and left out.
Scalars ScalarsOf(const Json& row);
// The row's `step`; 0 without one.
int64_t StepOf(const Json& row);

// train_loss, train_runtime, …: one number a run, which HF gives to W&B's summary alone, under its
// own name.
bool IsOfWholeRun(const std::string& key);

// A number as W&B's files have it: JSON with the literals NaN, Infinity and -Infinity.
std::string NumberText(double value);

}  // namespace anamnesis::track
