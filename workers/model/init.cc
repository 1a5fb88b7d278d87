// SPDX-License-Identifier: Apache-2.0
#include "workers/model/init.h"

#include <bit>
#include <cstring>
#include <string_view>
#include <vector>

#include "common/base/philox.h"
#include "common/base/sha256.h"
#include "common/io/file.h"
#include "workers/model/layout.h"

namespace anamnesis::model {
namespace {

// Round to nearest even, for finite values.
uint16_t BFloat16Bits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

void AppendValue(float value, StoredType type, std::string* out) {
  if (type == StoredType::kF32) {
    out->append(reinterpret_cast<const char*>(&value), sizeof(value));
  } else {
    const uint16_t bits = BFloat16Bits(value);
    out->append(reinterpret_cast<const char*>(&bits), sizeof(bits));
  }
}

bool IsNorm(const std::string& name) {
  return name.ends_with("norm.weight");  // also …layernorm.weight
}

// Appends one tensor's values in blocks, so that memory stays small for any model. `neutral` is the
// norms' weight.
Status AppendTensor(const TensorView& tensor, double spread, double neutral, uint64_t seed,
                    StagedFile* file) {
  int64_t left = 1;
  for (const int64_t extent : tensor.shape) left *= extent;
  const bool is_norm = IsNorm(tensor.name);
  const bool is_bias = tensor.name.ends_with(".bias");
  PhiloxStream random(seed, StreamOfName(tensor.name));
  std::string block;
  while (left > 0) {
    block.clear();
    for (int64_t i = 0; i < std::min<int64_t>(left, 1 << 16); ++i) {
      const double value = is_norm ? neutral : is_bias ? 0.0 : spread * random.Normal();
      AppendValue(static_cast<float>(value), tensor.type, &block);
    }
    left -= static_cast<int64_t>(block.size()) / StoredTypeBytes(tensor.type);
    ANAM_RETURN_IF_ERROR(file->Append(block));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t StreamOfName(const std::string& name) {
  const std::string hex = Sha256Hex(name);
  uint64_t stream = 0;
  for (size_t i = 0; i < 8; ++i) {
    stream |= std::stoull(hex.substr(2 * i, 2), nullptr, 16) << (8 * i);
  }
  return stream;
}

Status WriteRandomModel(const ModelConfig& config, uint64_t seed, const std::string& directory,
                        StoredType type) {
  if (type != StoredType::kF32 && type != StoredType::kBF16) {
    return InvalidArgument("a random base is written as F32 or BF16, not ", StoredTypeName(type));
  }
  ModelConfig stored = config;
  stored.dtype = type == StoredType::kF32 ? "float32" : "bfloat16";
  ANAM_RETURN_IF_ERROR(ModelConfigFromJson(ToJson(stored), "model config").status());
  std::vector<TensorView> tensors;
  for (ExpectedTensor& tensor : ExpectedTensors(stored)) {
    tensors.push_back({std::move(tensor.name), type, std::move(tensor.shape), nullptr});
  }
  ANAM_RETURN_IF_ERROR(MakeDirectories(directory));
  ANAM_ASSIGN_OR_RETURN(const SafetensorsLayout layout,
                        LayoutSafetensors(tensors, {{"format", "pt"}}));
  ANAM_ASSIGN_OR_RETURN(StagedFile file, StagedFile::Create(directory + "/model.safetensors"));
  ANAM_RETURN_IF_ERROR(file.Append(layout.header));
  const double neutral = stored.flags.norm == NormKind::kRmsPlusOne ? 0.0 : 1.0;
  for (const size_t i : layout.order) {
    ANAM_RETURN_IF_ERROR(AppendTensor(tensors[i], stored.initializer_range, neutral, seed, &file));
  }
  ANAM_RETURN_IF_ERROR(file.Commit());
  return WriteFileDurably(directory + "/config.json", ToJson(stored).dump(2) + "\n");
}

}  // namespace anamnesis::model
