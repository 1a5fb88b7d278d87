// SPDX-License-Identifier: Apache-2.0
// EncoderConfig: the shape of a BERT-style encoder with a sequence-classification head, as HF's
// config.json states it (transformers 5.23, configuration_{bert,roberta,distilbert,electra,
// modernbert}.py). An absent key means the class's default of that family. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/io/json.h"

namespace anamnesis::encoder {

enum class Family { kBert, kRoberta, kDistilBert, kElectra, kModernBert };

// kTanh is for heads alone.
enum class Activation { kGelu, kGeluTanh, kRelu, kSilu, kTanh };

struct EncoderConfig {
  Family family = Family::kBert;
  int64_t vocab_size = 0;
  int64_t embedding_size = 0;  // electra's may differ from hidden_size
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t intermediate_size = 0;
  Activation activation = Activation::kGelu;
  int64_t max_position_embeddings = 512;
  int64_t type_vocab_size = 0;  // 0: no token types
  int64_t pad_token_id = -1;    // -1: none; its embedding row gets no gradient, as in HF
  double layer_norm_eps = 1e-12;
  double initializer_range = 0.02;

  double hidden_dropout = 0;      // embeddings and the two outputs of a layer
  double attention_dropout = 0;   // attention probabilities
  double classifier_dropout = 0;  // the head's input
  double embedding_dropout = 0;   // hidden_dropout but for modernbert
  double mlp_dropout = 0;         // modernbert: inside the MLP

  // modernbert only
  bool norm_bias = true;
  bool attention_bias = true;
  bool mlp_bias = true;
  bool classifier_bias = true;
  bool mean_pooling = false;  // classifier_pooling: mean
  Activation classifier_activation = Activation::kGelu;
  int64_t local_window = 0;  // local layers: key j is seen by i iff |i − j| ≤ local_window
  std::vector<bool> layer_is_local;  // by layer; empty: every layer is global
  double global_rope_theta = 160000;
  double local_rope_theta = 10000;

  int64_t num_labels = 2;
  std::vector<std::string> label_names;  // id2label

  Json source;  // config.json as read; EncoderConfigJson keeps its keys

  int64_t head_dim() const { return hidden_size / num_attention_heads; }
  bool IsModern() const { return family == Family::kModernBert; }
  // The longest document: roberta's positions start after padding_idx.
  int64_t MaxTokens() const;
};

// "bert", …; the value of model_type.
const char* FamilyName(Family family);

// True when `model_type` is one of the five.
bool IsEncoderType(const std::string& model_type);

// Reads config.json. kInvalidArgument: unreadable, wrong type or range (file and key named) or a
// model_type that is no encoder. kUnimplemented: an option that is not built (relative positions,
// decoders, other activations and rope types, quantised weights), with what is supported.
StatusOr<EncoderConfig> EncoderConfigFromJson(const Json& json, const std::string& source);
StatusOr<EncoderConfig> ReadEncoderConfig(const std::string& directory);

// Sets the number of classes (≥ 2) and their names: `names`, or those of the config where it has as
// many, or LABEL_0, LABEL_1, … kInvalidArgument: fewer than two classes, or a wrong count of names.
Status SetLabels(int64_t num_labels, const std::vector<std::string>& names, EncoderConfig* config);

// config.json of the trained classifier: the keys that were read, with architectures, id2label,
// label2id, problem_type and the dtype float32 set as transformers sets them.
Json EncoderConfigJson(const EncoderConfig& config);
// The text that is written: keys sorted, indent 2, a final newline.
std::string EncoderConfigText(const EncoderConfig& config);

}  // namespace anamnesis::encoder
