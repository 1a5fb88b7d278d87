// SPDX-License-Identifier: Apache-2.0
// The trained classifier that `predict` is given: where its files are and how it was trained to
// read, from the manifest of its run where it has one. Reads headers, no weights.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/config/job_config.h"
#include "common/hub/model_directory.h"
#include "workers/contract/predict_plan.h"
#include "workers/stream/stream_spec.h"

namespace anamnesis::agent {

struct FoundClassifier {
  // kind, model_directory, adapter, dtype, quantisation, class_names, threshold, lanes, batch_rows.
  contract::PredictPlan plan;
  stream::StreamSpec stream;       // the cut is the configuration's
  std::vector<std::string> notes;  // what a user should know, a line each
};

// `path`: a whole model or an adapter, ours or one that transformers or PEFT wrote, or the output
// folder of a run. What a folder without a manifest of ours does not say comes from `config`.
// kNotFound: no such folder. kInvalidArgument: no classifier. kFailedPrecondition: its base model
// or its tokenizer is not the one it was trained with. kDataLoss: its files are not those that its
// manifest lists.
StatusOr<FoundClassifier> FindClassifier(const std::string& path, const config::JobConfig& config,
                                         const hub::HubAccess& access);

}  // namespace anamnesis::agent
