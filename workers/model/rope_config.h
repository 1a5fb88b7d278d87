// SPDX-License-Identifier: Apache-2.0
// RopeConfig: which rotary position embedding a model uses (Su et al. 2021 and its extensions), as
// HF's config.json states it in its two spellings. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/model/json_fields.h"

namespace anamnesis::model {

// Fields that a type does not use keep their defaults; what HF derives (yarn's and longrope's
// attention factor) is derived while reading.
struct RopeConfig {
  std::string type = "default";  // default | linear | dynamic | llama3 | longrope | yarn
  double theta = 10000.0;
  double factor = 1.0;  // linear, dynamic, llama3, yarn
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_position_embeddings = 0;  // llama3, longrope, yarn
  double partial_rotary_factor = 1.0;            // the part of a head's width that is rotated
  double attention_factor = 1.0;                 // longrope, yarn: multiplies cos and sin
  double beta_fast = 32.0;                       // yarn
  double beta_slow = 1.0;
  bool truncate = true;
  std::vector<double> short_factor = {};  // longrope: rotated width / 2 each
  std::vector<double> long_factor = {};

  bool operator==(const RopeConfig&) const = default;
};

// What a rope needs to know of the model around it.
struct RopeShape {
  std::string model_type;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 0;
  bool may_be_partial = false;                   // the family honours partial_rotary_factor
  int64_t original_max_position_embeddings = 0;  // config.json's top level, which wins; 0: absent
};

// The rotated width of a head: int(head_dim · partial_rotary_factor), as HF rounds it.
int64_t RotaryDim(const RopeConfig& rope, int64_t head_dim);

// Completes `rope`, which holds theta and partial_rotary_factor of the top level, from one rope
// dictionary (null: none). kUnimplemented: a rope_type that is not built, with the supported list.
Status ReadRope(const Json* dictionary, const std::string& where, const RopeShape& shape,
                RopeConfig* rope);

// The dictionary of transformers 5 (rope_parameters).
Json ToJson(const RopeConfig& rope);

}  // namespace anamnesis::model
