// SPDX-License-Identifier: Apache-2.0
// Merges a LoRA adapter into its base: a plain Hugging Face model with W + s · B A in place of W
// (PEFT's merge_and_unload), whose logits are compared with those of base and adapter before
// anybody sees it. docs/models.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/io/json.h"

namespace anamnesis::merge {

struct MergeOptions {
  std::string adapter_directory;  // ours or PEFT's
  std::string out;                // is made; may be there if it is empty
  std::string base;               // directory or name; "": as adapter_config.json says
};

// How far apart the merged model is from base and adapter on fixed token ids.
struct Parity {
  double max_difference = 0;  // of two logits
  double max_logit = 0;       // largest absolute logit of base and adapter
  double tolerance = 0;       // of max_difference / max_logit, by dtype
  std::string compute_dtype;  // of both
  int64_t num_tokens = 0;

  double relative() const { return max_logit > 0 ? max_difference / max_logit : max_difference; }
};

struct MergeReport {
  std::string base_name, base_directory, base_sha256;
  std::string adapter_directory, adapter_sha256;
  bool base_is_packed = false;  // in NF4: merged into the dequantised weights
  std::string dtype;            // of the merged weights
  int64_t merged_layers = 0;
  std::vector<std::string> saved_modules;  // replaced whole
  std::vector<std::string> notes;          // what a user should know, one sentence each
  Parity parity;
};

Json ToJson(const MergeReport& report);  // merge.json

// kAlreadyExists: `out` is there and not empty. kInvalidArgument: the adapter was trained on
// another base, does not fit it, or holds a weight that is not finite, as the merged model may; the
// logits are too far apart. kUnimplemented: an adapter that is not for a causal language model, and
// whatever opening base and adapter refuses. On an error `out` is as it was.
StatusOr<MergeReport> Merge(const MergeOptions& options);

}  // namespace anamnesis::merge
