// SPDX-License-Identifier: Apache-2.0
// PredictPlan: everything `anamnesis-rank --predict` needs to score the subjects of a split, as one
// JSON document written by the worker (docs/prediction.md). All paths are absolute. No patient
// text. Readers refuse an unknown version and unknown keys.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/io/json.h"

namespace anamnesis::contract {

struct PredictPlan {
  int version = 1;
  std::string kind;               // encoder | decoder | prompt
  std::string model_directory;    // of the whole model, or the base of `adapter`; has the tokenizer
  std::string adapter;            // folder; "": a whole model
  std::string dtype = "float32";  // as of ModelPlan
  std::string quantisation = "none";     // likewise
  std::vector<std::string> class_names;  // [C]; empty: those of the model's config.json
  bool has_threshold = false;  // without one a probability of one half decides between two classes
  double threshold = 0;        // of the risk (metrics/scores.h)
  std::string shards_directory;
  std::string shards_manifest_sha256;
  std::string split;
  std::string labels_path;    // labels of the seed layout; "": nothing is known
  std::string labels_sha256;  // as the shards were made with them
  Json stream;                // stream::StreamSpec: how the model was trained to read
  int64_t lanes = 1;          // rows are batched as the run's own evaluation batched them
  int64_t batch_rows = 1;
  int threads = 1;
  std::string output;  // the CSV file
};

Json ToJson(const PredictPlan& plan);
// kInvalidArgument names the key.
StatusOr<PredictPlan> PredictPlanFromJson(const Json& json, const std::string& source);
StatusOr<PredictPlan> ReadPredictPlan(const std::string& path);

}  // namespace anamnesis::contract
