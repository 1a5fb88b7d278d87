// SPDX-License-Identifier: Apache-2.0
// A weight file of torch.save (pytorch_model.bin) as a file of stored tensors. Torch-free.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "workers/model/safetensors.h"
#include "workers/torch_file/torch_reader.h"

namespace anamnesis::model {

class TorchWeightFile final : public TensorFile {
 public:
  // Errors as of torch_file::TorchFile::Open.
  static StatusOr<TorchWeightFile> Open(const std::string& path);

  const std::string& path() const override { return file_.path(); }
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  const StoredTensor* Find(const std::string& name) const override;
  const std::string& header() const override { return file_.header(); }
  Status Read(const StoredTensor& tensor, void* out) const override;

 private:
  explicit TorchWeightFile(torch_file::TorchFile file) : file_(std::move(file)) {}

  torch_file::TorchFile file_;
  std::vector<StoredTensor> tensors_;  // offset is not used
  std::map<std::string, size_t> by_name_;
};

// Writes the tensors as torch.save writes a state_dict, in the order given; those with the same
// data share a storage (torch_file::WriteTorchFile). kInvalidArgument also for a type that Torch's
// storages do not have (unsigned ones wider than 8 bits).
Status WriteTorchWeights(const std::string& path, const std::vector<TensorView>& tensors);

}  // namespace anamnesis::model
