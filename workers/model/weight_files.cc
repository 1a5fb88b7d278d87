// SPDX-License-Identifier: Apache-2.0
#include "workers/model/weight_files.h"

#include <algorithm>
#include <set>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "common/io/json.h"

namespace anamnesis::model {
namespace {

constexpr size_t kMaxListed = 10;

std::string Listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMaxListed); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMaxListed) text += Cat(" and ", names.size() - kMaxListed, " more");
  return text;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += Cat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

// Buffers that old checkpoints carry and no model reads.
bool IsIgnored(const std::string& name, bool tied) {
  return name.ends_with(".rotary_emb.inv_freq") || (tied && name == "lm_head.weight");
}

StatusOr<std::vector<std::string>> WeightFileNames(const std::string& directory) {
  if (PathExists(directory + "/model.safetensors"))
    return std::vector<std::string>{"model.safetensors"};
  const std::string index_path = directory + "/model.safetensors.index.json";
  if (PathExists(index_path)) {
    ANAM_ASSIGN_OR_RETURN(const Json index, ReadJsonFile(index_path));
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
      return InvalidArgument(index_path, ": expected an object with the key 'weight_map'");
    }
    std::set<std::string> names;
    for (const auto& [tensor, file] : index["weight_map"].items()) {
      if (!file.is_string())
        return InvalidArgument(index_path, ": '", tensor, "': expected a file");
      const std::string name = file.get<std::string>();
      if (name.empty() || name.find('/') != std::string::npos || name[0] == '.') {
        return InvalidArgument(index_path, ": '", tensor, "': expected a file name in this folder");
      }
      names.insert(name);
    }
    return std::vector<std::string>(names.begin(), names.end());
  }
  for (const char* legacy : {"/pytorch_model.bin", "/pytorch_model.bin.index.json"}) {
    if (PathExists(directory + legacy)) {
      return Unimplemented(directory, legacy, ": reading .bin weights is not built yet; ",
                           "save the model as model.safetensors");
    }
  }
  return InvalidArgument(directory, ": no model.safetensors and no model.safetensors.index.json");
}

}  // namespace

std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& c) {
  const int64_t query_width = c.num_attention_heads * c.head_dim;
  const int64_t key_width = c.num_key_value_heads * c.head_dim;
  std::vector<ExpectedTensor> out = {{"model.embed_tokens.weight", {c.vocab_size, c.hidden_size}}};
  const auto linear = [&](const std::string& name, int64_t rows, int64_t columns, bool bias) {
    out.push_back({name + ".weight", {rows, columns}});
    if (bias) out.push_back({name + ".bias", {rows}});
  };
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = Cat("model.layers.", i);
    out.push_back({layer + ".input_layernorm.weight", {c.hidden_size}});
    linear(layer + ".self_attn.q_proj", query_width, c.hidden_size, c.attention_bias);
    linear(layer + ".self_attn.k_proj", key_width, c.hidden_size, c.attention_bias);
    linear(layer + ".self_attn.v_proj", key_width, c.hidden_size, c.attention_bias);
    linear(layer + ".self_attn.o_proj", c.hidden_size, query_width, c.attention_bias);
    out.push_back({layer + ".post_attention_layernorm.weight", {c.hidden_size}});
    linear(layer + ".mlp.gate_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
    linear(layer + ".mlp.up_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
    linear(layer + ".mlp.down_proj", c.hidden_size, c.intermediate_size, c.mlp_bias);
  }
  out.push_back({"model.norm.weight", {c.hidden_size}});
  if (!c.tie_word_embeddings) linear("lm_head", c.vocab_size, c.hidden_size, false);
  return out;
}

StatusOr<WeightFiles> WeightFiles::Open(const std::string& directory) {
  WeightFiles weights;
  weights.directory_ = directory;
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, WeightFileNames(directory));
  for (const std::string& name : names) {
    ANAM_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(directory + "/" + name));
    for (const StoredTensor& tensor : file.tensors()) {
      if (!weights.file_of_.emplace(tensor.name, weights.files_.size()).second) {
        return InvalidArgument(directory, ": tensor '", tensor.name, "' is in two shards");
      }
    }
    weights.files_.push_back(std::move(file));
  }
  return weights;
}

Status WeightFiles::CheckAgainst(const std::vector<ExpectedTensor>& expected) const {
  std::vector<std::string> missing, misshaped, extra;
  std::set<std::string> known;
  for (const ExpectedTensor& tensor : expected) {
    known.insert(tensor.name);
    const StoredTensor* stored = Find(tensor.name);
    if (stored == nullptr) {
      missing.push_back(tensor.name);
    } else if (stored->shape != tensor.shape) {
      misshaped.push_back(
          Cat(tensor.name, " ", ShapeText(stored->shape), " for ", ShapeText(tensor.shape)));
    } else if (stored->type != StoredType::kF32 && stored->type != StoredType::kBF16 &&
               stored->type != StoredType::kF16) {
      misshaped.push_back(Cat(tensor.name, " ", StoredTypeName(stored->type), " for F32/BF16/F16"));
    }
  }
  const bool tied = !known.contains("lm_head.weight");
  for (const auto& [name, file] : file_of_) {
    if (!known.contains(name) && !IsIgnored(name, tied)) extra.push_back(name);
  }
  if (missing.empty() && misshaped.empty() && extra.empty()) return absl::OkStatus();
  std::string text = directory_ + ": the weights do not fit config.json";
  if (!missing.empty()) text += Cat("; missing (", missing.size(), "): ", Listed(missing));
  if (!misshaped.empty()) text += Cat("; misshaped (", misshaped.size(), "): ", Listed(misshaped));
  if (!extra.empty()) text += Cat("; not expected (", extra.size(), "): ", Listed(extra));
  return InvalidArgument(text);
}

const StoredTensor* WeightFiles::Find(const std::string& name) const {
  const auto it = file_of_.find(name);
  return it == file_of_.end() ? nullptr : files_[it->second].Find(name);
}

const SafetensorsFile* WeightFiles::FileOf(const std::string& name) const {
  const auto it = file_of_.find(name);
  return it == file_of_.end() ? nullptr : &files_[it->second];
}

StatusOr<std::string> ModelDigest(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const std::string config, ReadFile(directory + "/config.json"));
  ANAM_ASSIGN_OR_RETURN(const WeightFiles weights, WeightFiles::Open(directory));
  std::string text = Cat("config.json\n", config.size(), "\n", config);
  for (const SafetensorsFile& file : weights.files()) {
    ANAM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(file.path()));
    text += Cat(file.path().substr(directory.size() + 1), "\n", size, "\n", file.header().size(),
                "\n", file.header());
  }
  return Sha256Hex(text);
}

}  // namespace anamnesis::model
