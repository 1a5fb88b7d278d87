// SPDX-License-Identifier: Apache-2.0
#include "workers/model/weight_files.h"

#include <algorithm>
#include <set>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "common/io/json.h"
#include "workers/model/tensor_text.h"
#include "workers/model/torch_weights.h"

namespace anamnesis::model {
namespace {

// Safetensors first, as transformers looks.
StatusOr<std::vector<std::string>> WeightFileNames(const std::string& directory) {
  for (const std::string whole : {"model.safetensors", "pytorch_model.bin"}) {
    if (PathExists(Cat(directory, "/", whole))) return std::vector<std::string>{whole};
    const std::string index_path = Cat(directory, "/", whole, ".index.json");
    if (!PathExists(index_path)) continue;
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
  return InvalidArgument(directory, ": no model.safetensors, no pytorch_model.bin and no index of ",
                         "either (….index.json)");
}

StatusOr<std::unique_ptr<const TensorFile>> OpenTensorFile(const std::string& path) {
  if (path.ends_with(".bin")) {
    ANAM_ASSIGN_OR_RETURN(TorchWeightFile file, TorchWeightFile::Open(path));
    return std::unique_ptr<const TensorFile>(new TorchWeightFile(std::move(file)));
  }
  ANAM_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  return std::unique_ptr<const TensorFile>(new SafetensorsFile(std::move(file)));
}

}  // namespace

StatusOr<WeightFiles> WeightFiles::Open(const std::string& directory) {
  WeightFiles weights;
  weights.directory_ = directory;
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, WeightFileNames(directory));
  for (const std::string& name : names) {
    ANAM_ASSIGN_OR_RETURN(std::unique_ptr<const TensorFile> file,
                          OpenTensorFile(Cat(directory, "/", name)));
    for (const StoredTensor& tensor : file->tensors()) {
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
    known.insert(NameInFiles(tensor.name));
    const StoredTensor* stored = Find(tensor.name);
    if (stored == nullptr) {
      missing.push_back(tensor.name);
    } else if (stored->shape != tensor.shape) {
      misshaped.push_back(
          Cat(tensor.name, " ", ShapeText(stored->shape), " for ", ShapeText(tensor.shape)));
    } else if (!tensor.packed && stored->type != StoredType::kF32 &&
               stored->type != StoredType::kBF16 && stored->type != StoredType::kF16) {
      misshaped.push_back(Cat(tensor.name, " ", StoredTypeName(stored->type), " for F32/BF16/F16"));
    }
  }
  const bool tied =
      std::none_of(expected.begin(), expected.end(),
                   [](const ExpectedTensor& tensor) { return tensor.name == "lm_head.weight"; });
  for (const auto& [name, file] : file_of_) {
    if (known.contains(name) || IsIgnoredTensor(name)) continue;
    if (!tied || !name.ends_with("lm_head.weight")) extra.push_back(name);
  }
  if (missing.empty() && misshaped.empty() && extra.empty()) return absl::OkStatus();
  std::string text = directory_ + ": the weights do not fit config.json";
  if (!missing.empty()) text += Cat("; missing (", missing.size(), "): ", NamesText(missing));
  if (!misshaped.empty())
    text += Cat("; misshaped (", misshaped.size(), "): ", NamesText(misshaped));
  if (!extra.empty()) text += Cat("; not expected (", extra.size(), "): ", NamesText(extra));
  return InvalidArgument(text);
}

std::string WeightFiles::NameInFiles(const std::string& name) const {
  for (const std::string& stored : StoredNames(name)) {
    if (file_of_.contains(stored)) return stored;
  }
  return "";
}

const StoredTensor* WeightFiles::Find(const std::string& name) const {
  const std::string stored = NameInFiles(name);
  return stored.empty() ? nullptr : files_[file_of_.at(stored)]->Find(stored);
}

const TensorFile* WeightFiles::FileOf(const std::string& name) const {
  const std::string stored = NameInFiles(name);
  return stored.empty() ? nullptr : files_[file_of_.at(stored)].get();
}

StatusOr<std::string> ModelDigest(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const std::string config, ReadFile(directory + "/config.json"));
  ANAM_ASSIGN_OR_RETURN(const WeightFiles weights, WeightFiles::Open(directory));
  std::string text = Cat("config.json\n", config.size(), "\n", config);
  for (const auto& file : weights.files()) {
    ANAM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(file->path()));
    text += Cat(file->path().substr(directory.size() + 1), "\n", size, "\n", file->header().size(),
                "\n", file->header());
  }
  return Sha256Hex(text);
}

}  // namespace anamnesis::model
