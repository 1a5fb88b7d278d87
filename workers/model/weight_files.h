// SPDX-License-Identifier: Apache-2.0
// The weights of an HF model directory: model.safetensors, or the shards that
// model.safetensors.index.json lists. Torch-free. Legacy pytorch_model.bin is not built yet.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "workers/model/config.h"
#include "workers/model/safetensors.h"

namespace anamnesis::model {

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
};

// Every tensor of a checkpoint of this config, in model order; lm_head.weight only when not tied.
std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config);

class WeightFiles {
 public:
  // kInvalidArgument: no weights, or the index does not fit its shards. kUnimplemented: only .bin.
  static StatusOr<WeightFiles> Open(const std::string& directory);

  // Missing, extra and misshaped tensors are one kInvalidArgument that lists their names (at most
  // ten of each kind). `lm_head.weight` beside tied embeddings and rotary buffers are ignored.
  Status CheckAgainst(const std::vector<ExpectedTensor>& expected) const;

  const StoredTensor* Find(const std::string& name) const;
  const SafetensorsFile* FileOf(const std::string& name) const;  // null when absent
  const std::vector<SafetensorsFile>& files() const { return files_; }

 private:
  std::string directory_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> file_of_;
};

// SHA-256 (hex) over config.json's bytes and, per weight file in name order, its name, size and
// header: tells two base models apart without reading the weights.
StatusOr<std::string> ModelDigest(const std::string& directory);

}  // namespace anamnesis::model
