// SPDX-License-Identifier: Apache-2.0
// The decoder families: structure flags, HF's default values and which keys each family reads.
// docs/families.md says how to add one. Torch-free.
#pragma once

#include <string>
#include <string_view>

#include "workers/model/config.h"

namespace anamnesis::model {

struct Family {
  std::string_view model_type;
  std::string_view architecture;  // HF's class of the causal language model
  FamilyFlags flags = {};
  const char* act_key = "hidden_act";
  bool reads_attention_bias = false;
  bool reads_mlp_bias = false;
  bool reads_layer_types = false;
  bool reads_use_sliding_window = false;
  bool reads_softcaps = false;
  bool reads_dropouts = false;  // resid_pdrop (and embd_pdrop where the class applies it)
  bool may_be_partial = false;  // honours partial_rotary_factor
  int64_t default_window = -1;  // of sliding_window, 0: none; -1: the family has no windows
  void (*set_defaults)(ModelConfig*) = nullptr;  // on top of Llama's
};

// Null for a model_type that is not a decoder family of this table.
const Family* FindFamily(std::string_view model_type);

// "gemma, gemma2, …", for error messages.
std::string SupportedFamilies();

// A config with the flags and the defaults of the family's HF class, without sliding windows (they
// depend on the number of layers). `model_type` must be in the table.
ModelConfig FamilyDefaults(std::string_view model_type);

}  // namespace anamnesis::model
