// SPDX-License-Identifier: Apache-2.0
// The weights of an HF model directory: model.safetensors, or the shards that
// model.safetensors.index.json lists, else pytorch_model.bin or the shards of its index.
// Torch-free.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "workers/model/layout.h"
#include "workers/model/safetensors.h"

namespace anamnesis::model {

class WeightFiles {
 public:
  // kInvalidArgument: no weights, or the index does not fit its shards. Else as of the files.
  static StatusOr<WeightFiles> Open(const std::string& directory);

  // Missing, extra and misshaped tensors are one kInvalidArgument that lists their names (at most
  // ten of each kind). `lm_head.weight` beside tied embeddings, rotary buffers and a vision tower
  // are ignored.
  Status CheckAgainst(const std::vector<ExpectedTensor>& expected) const;

  // By the name in HF's modules; the names of layout.h's StoredNames are tried in turn. Null when
  // absent.
  const StoredTensor* Find(const std::string& name) const;
  const TensorFile* FileOf(const std::string& name) const;
  const std::vector<std::unique_ptr<const TensorFile>>& files() const { return files_; }

 private:
  // The tensor's name in the files; empty when absent.
  std::string NameInFiles(const std::string& name) const;

  std::string directory_;
  std::vector<std::unique_ptr<const TensorFile>> files_;
  std::map<std::string, size_t> file_of_;
};

// SHA-256 (hex) over config.json's bytes and, per weight file in name order, its name, size and
// header: tells two base models apart without reading the weights.
StatusOr<std::string> ModelDigest(const std::string& directory);

}  // namespace anamnesis::model
