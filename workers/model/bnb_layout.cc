// SPDX-License-Identifier: Apache-2.0
#include "workers/model/bnb_layout.h"

#include "common/base/sha256.h"

namespace anamnesis::model {
namespace {

// As workers/quant/nf4.h and dynamic_map.h have them, which this layer cannot include.
constexpr int64_t kBlock = 64;
constexpr int64_t kNestedBlock = 256;
constexpr int64_t kMaxStateBytes = 65536;

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Checks a part's dtype and number of elements and adds it.
Status AddPart(const WeightFiles& files, const std::string& name, StoredType type, int64_t elements,
               std::vector<ExpectedTensor>* out) {
  const StoredTensor* stored = files.Find(name);
  if (stored == nullptr) return InvalidArgument(name, ": missing beside a quantised weight");
  if (stored->type != type) {
    return InvalidArgument(name, ": dtype ", StoredTypeName(stored->type), ", expected ",
                           StoredTypeName(type));
  }
  if (elements >= 0 && stored->NumElements() != elements) {
    return InvalidArgument(name, ": ", stored->NumElements(), " elements, expected ", elements);
  }
  out->push_back({name, stored->shape, /*packed=*/true});
  return absl::OkStatus();
}

Status AddParts(const WeightFiles& files, const ExpectedTensor& weight,
                std::vector<ExpectedTensor>* out) {
  const int64_t elements = weight.shape[0] * weight.shape[1];
  const int64_t blocks = CeilDivide(elements, kBlock);
  const StoredTensor* codes = files.Find(weight.name);
  if (codes != nullptr && codes->type != StoredType::kU8) {
    return Unimplemented(weight.name, ": 4-bit codes stored as ", StoredTypeName(codes->type),
                         " (bnb_4bit_quant_storage) are not built yet; supported: U8");
  }
  const std::string nested = weight.name + kBnbNestedAbsmax;
  const bool is_nested = files.Find(nested) != nullptr;
  ANAM_RETURN_IF_ERROR(AddPart(files, weight.name, StoredType::kU8, CeilDivide(elements, 2), out));
  ANAM_RETURN_IF_ERROR(AddPart(files, weight.name + kBnbState, StoredType::kU8, -1, out));
  if (out->back().shape.size() != 1 || out->back().shape[0] > kMaxStateBytes) {
    return InvalidArgument(out->back().name, ": expected a text of at most ", kMaxStateBytes,
                           " bytes");
  }
  ANAM_RETURN_IF_ERROR(AddPart(files, weight.name + kBnbQuantMap, StoredType::kF32, 16, out));
  ANAM_RETURN_IF_ERROR(AddPart(files, weight.name + kBnbAbsmax,
                               is_nested ? StoredType::kU8 : StoredType::kF32, blocks, out));
  if (!is_nested) return absl::OkStatus();
  ANAM_RETURN_IF_ERROR(
      AddPart(files, nested, StoredType::kF32, CeilDivide(blocks, kNestedBlock), out));
  return AddPart(files, weight.name + kBnbNestedQuantMap, StoredType::kF32, 256, out);
}

}  // namespace

std::string PackedDigest(const std::string& sha256) { return Sha256Hex(sha256 + "\nnf4\n"); }

StatusOr<bool> IsBnbQuantised(const WeightFiles& files, const std::string& weight) {
  if (files.Find(weight + ".quant_state.bitsandbytes__fp4") != nullptr) {
    return Unimplemented(weight, ": quant_type: fp4 is not built yet; supported: nf4");
  }
  return files.Find(weight + kBnbState) != nullptr;
}

StatusOr<std::vector<ExpectedTensor>> WithBnbTensors(const WeightFiles& files,
                                                     const std::vector<ExpectedTensor>& expected) {
  std::vector<ExpectedTensor> out;
  for (const ExpectedTensor& tensor : expected) {
    ANAM_ASSIGN_OR_RETURN(const bool quantised, IsBnbQuantised(files, tensor.name));
    if (!quantised) {
      out.push_back(tensor);
      continue;
    }
    if (tensor.shape.size() != 2 || tensor.name.ends_with("embed_tokens.weight") ||
        tensor.name.ends_with("lm_head.weight")) {
      return Unimplemented(tensor.name, ": quantised, which is built for the linear layers of ",
                           "attention and MLP alone");
    }
    ANAM_RETURN_IF_ERROR(AddParts(files, tensor, &out));
  }
  return out;
}

}  // namespace anamnesis::model
