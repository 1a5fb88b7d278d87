// SPDX-License-Identifier: Apache-2.0
// The tensors of an encoder with its classification head, by HF's names, and how those of a
// checkpoint (a classifier, a masked-language model or a plain encoder) map onto them. Torch-free.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/encoder/config.h"
#include "workers/model/safetensors.h"

namespace anamnesis::encoder {

enum class ModuleKind { kEmbedding, kLinear, kNorm };

// How a tensor that a checkpoint lacks is filled.
enum class Fill { kNormal, kZero, kOne };

struct EncoderTensor {
  std::string name;  // "bert.encoder.layer.0.attention.self.query.weight"
  std::vector<int64_t> shape;
  ModuleKind kind = ModuleKind::kLinear;
  Fill fill = Fill::kNormal;
  double spread = 0;     // of kNormal: the standard deviation
  bool is_head = false;  // belongs to the classification head, which a checkpoint may lack
  bool decays = false;   // weight decay applies: not on biases and LayerNorms (HF's Trainer)
};

// Module paths of one layer. The fused `qkv` is modernbert's, the other three the rest's; an empty
// path means that the layer has no such module.
struct LayerNames {
  std::string query, key, value, qkv, attention_out, attention_norm;
  std::string up, down, output_norm;  // modernbert: output_norm stands before the MLP
};

// Module paths of the rest; empty where a family has none.
struct EncoderNames {
  std::string prefix;  // "bert.": of the encoder without its head
  std::string word, position, token_type, embedding_norm, projection, final_norm;
  std::string head_dense, head_norm, classifier;  // dense (pooler, pre_classifier), then the logits
  std::vector<LayerNames> layers;
};

EncoderNames NamesOf(const EncoderConfig& config);

// Every tensor of the classifier in the order of the modules.
std::vector<EncoderTensor> EncoderTensors(const EncoderConfig& config);

// HF's Trainer, get_decay_parameter_names: no decay on a name with bias, layernorm, rmsnorm, or a
// part that is norm or ends in _norm.
bool Decays(const std::string& name);

struct WeightMatch {
  std::map<std::string, std::string> stored_name;  // by our name
  std::vector<std::string> initialised;            // our names that the checkpoint lacks
  std::vector<std::string> ignored;                // stored names that have no use here
  std::string note;                                // both in one line; empty when both are
};

// Matches stored tensors with EncoderTensors: with or without the prefix, LayerNorm.gamma and .beta
// read as weight and bias. A head that is missing as a whole goes to `initialised`; heads of other
// tasks and buffers go to `ignored`. Any other missing, extra, doubled or misshaped tensor, or one
// of a dtype other than F32, BF16 and F16, is a kInvalidArgument that lists the names.
StatusOr<WeightMatch> MatchWeights(const EncoderConfig& config,
                                   const std::vector<model::StoredTensor>& stored,
                                   const std::string& source);

}  // namespace anamnesis::encoder
