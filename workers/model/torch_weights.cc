// SPDX-License-Identifier: Apache-2.0
#include "workers/model/torch_weights.h"

#include <algorithm>
#include <array>
#include <utility>

#include "workers/torch_file/torch_writer.h"

namespace anamnesis::model {
namespace {

using torch_file::TorchType;

constexpr std::array<std::pair<TorchType, StoredType>, 10> kTorchTypes = {{
    {TorchType::kBool, StoredType::kBool},
    {TorchType::kU8, StoredType::kU8},
    {TorchType::kI8, StoredType::kI8},
    {TorchType::kI16, StoredType::kI16},
    {TorchType::kI32, StoredType::kI32},
    {TorchType::kI64, StoredType::kI64},
    {TorchType::kF16, StoredType::kF16},
    {TorchType::kBF16, StoredType::kBF16},
    {TorchType::kF32, StoredType::kF32},
    {TorchType::kF64, StoredType::kF64},
}};

StoredType StoredTypeOfTorch(TorchType type) {
  return kTorchTypes[static_cast<size_t>(type)].second;  // in the order of the enum
}

}  // namespace

StatusOr<TorchWeightFile> TorchWeightFile::Open(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(torch_file::TorchFile file, torch_file::TorchFile::Open(path));
  TorchWeightFile weights(std::move(file));
  for (const torch_file::PickledTensor& tensor : weights.file_.tensors()) {
    StoredTensor stored;
    stored.name = tensor.name;
    stored.type = StoredTypeOfTorch(tensor.type);
    stored.shape = tensor.shape;
    stored.size_bytes = tensor.numel * static_cast<uint64_t>(StoredTypeBytes(stored.type));
    weights.by_name_[stored.name] = weights.tensors_.size();
    weights.tensors_.push_back(std::move(stored));
  }
  return weights;
}

const StoredTensor* TorchWeightFile::Find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

Status TorchWeightFile::Read(const StoredTensor& tensor, void* out) const {
  const torch_file::PickledTensor* pickled = file_.Find(tensor.name);
  if (pickled == nullptr) return Internal(path(), ": a tensor of another file");
  return file_.Read(*pickled, out);
}

Status WriteTorchWeights(const std::string& path, const std::vector<TensorView>& tensors) {
  std::vector<torch_file::TorchView> views;
  for (const TensorView& tensor : tensors) {
    const auto row = std::find_if(kTorchTypes.begin(), kTorchTypes.end(),
                                  [&](const auto& pair) { return pair.second == tensor.type; });
    if (row == kTorchTypes.end()) {
      return InvalidArgument(path, ": tensor '", tensor.name, "': no storage of PyTorch holds ",
                             StoredTypeName(tensor.type));
    }
    views.push_back({tensor.name, row->first, tensor.shape, tensor.data});
  }
  return torch_file::WriteTorchFile(path, views);
}

}  // namespace anamnesis::model
