// SPDX-License-Identifier: Apache-2.0
#include "workers/model/packed_loader.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "workers/model/bnb_layout.h"
#include "workers/model/reused_buffer.h"
#include "workers/model/weights.h"
#include "workers/quant/bnb_config.h"
#include "workers/quant/bnb_state.h"

namespace anamnesis::model {
namespace {

// A part whose dtype and size WithBnbTensors has checked.
template <typename T>
Status ReadPart(const WeightFiles& files, const std::string& name, std::vector<T>* out) {
  const StoredTensor* stored = files.Find(name);
  ANAM_CHECK(stored != nullptr && stored->size_bytes % sizeof(T) == 0);
  out->resize(stored->size_bytes / sizeof(T));
  return out->empty() ? absl::OkStatus() : files.FileOf(name)->Read(*stored, out->data());
}

// A layer that the configuration excludes must not be quantised in the files.
Status CheckSkipped(const std::vector<ExpectedTensor>& expected,
                    const std::vector<std::string>& skip_modules) {
  for (const ExpectedTensor& tensor : expected) {
    if (!tensor.packed || !tensor.name.ends_with(kBnbState)) continue;
    const std::string module = tensor.name.substr(0, tensor.name.rfind(".weight."));
    if (quant::IsInSkipList(module, skip_modules)) {
      return InvalidArgument(module,
                             ": quantised in the weights, but quantization_config names it ",
                             "in llm_int8_skip_modules");
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<PackedLoader> PackedLoader::Open(const std::string& directory, const WeightFiles& files,
                                          const std::vector<ExpectedTensor>& expected,
                                          Quantisation quantisation, at::Device device) {
  ANAM_ASSIGN_OR_RETURN(const std::optional<quant::BnbConfig> config,
                        quant::ReadBnbConfig(directory));
  auto with_parts = WithBnbTensors(files, expected);
  if (!with_parts.ok()) return AddContext(with_parts.status(), directory);
  const std::vector<ExpectedTensor> in_files = *std::move(with_parts);
  ANAM_RETURN_IF_ERROR(files.CheckAgainst(in_files));
  if (config.has_value()) {
    Status consistent = CheckSkipped(in_files, config->skip_modules);
    if (!consistent.ok()) return AddContext(consistent, directory);
  }
  PackedLoader out(files);
  out.stored_packed_ = std::any_of(in_files.begin(), in_files.end(),
                                   [](const ExpectedTensor& tensor) { return tensor.packed; });
  out.quantise_ = quantisation == Quantisation::kNf4 && !out.stored_packed_;
  if ((out.stored_packed_ || out.quantise_) && !device.is_cpu()) {
    return Unimplemented(directory, ": a base in 4 bits on ", device.str(),
                         " is not built yet; supported: cpu");
  }
  return out;
}

bool PackedLoader::Packs(const std::string& module) const {
  if (stored_packed_) return files_->Find(module + ".weight" + kBnbState) != nullptr;
  return quantise_ && module != "lm_head";
}

StatusOr<FrozenWeightPtr> PackedLoader::Load(const LinearLayout& layout) const {
  const std::string weight = layout.module + ".weight";
  const TensorFile& file = *files_->FileOf(weight);
  if (stored_packed_) {
    auto read = ReadBnbWeight(*files_, weight, layout.out_features, layout.in_features);
    if (!read.ok()) return AddContext(read.status(), file.path());
    return read;
  }
  const StoredTensor& tensor = *files_->Find(weight);
  ANAM_ASSIGN_OR_RETURN(const at::ScalarType type, ScalarTypeOf(tensor.type));
  const at::Tensor stored = ReusedBuffer(tensor.shape, type);
  ANAM_RETURN_IF_ERROR(file.Read(tensor, stored.data_ptr()));
  auto packed = Nf4Weight::Quantise(stored);
  if (!packed.ok()) return AddContext(packed.status(), Cat(file.path(), ": ", weight));
  return packed;
}

StatusOr<FrozenWeightPtr> ReadBnbWeight(const WeightFiles& files, const std::string& weight,
                                        int64_t out_features, int64_t in_features) {
  ANAM_RETURN_IF_ERROR(WithBnbTensors(files, {{weight, {out_features, in_features}}}).status());
  std::vector<char> text;
  ANAM_RETURN_IF_ERROR(ReadPart(files, weight + kBnbState, &text));
  ANAM_ASSIGN_OR_RETURN(const quant::BnbState state,
                        quant::ParseBnbState({text.data(), text.size()}, Cat(weight, kBnbState)));
  if (state.shape != std::vector<int64_t>{out_features, in_features}) {
    return InvalidArgument(weight, kBnbState, ": shape [", state.shape[0], ", ", state.shape[1],
                           "], config.json needs [", out_features, ", ", in_features, "]");
  }
  const bool nested = files.Find(weight + kBnbNestedAbsmax) != nullptr;
  if (nested != state.nested) {
    return InvalidArgument(weight, kBnbState, ": ", state.nested ? "" : "not ", "nested, but ",
                           weight, kBnbNestedAbsmax, " is ", nested ? "there" : "missing");
  }
  quant::BnbParts parts;
  ANAM_RETURN_IF_ERROR(ReadPart(files, weight, &parts.codes));
  ANAM_RETURN_IF_ERROR(ReadPart(files, weight + kBnbQuantMap, &parts.quant_map));
  if (nested) {
    ANAM_RETURN_IF_ERROR(ReadPart(files, weight + kBnbAbsmax, &parts.absmax_codes));
    ANAM_RETURN_IF_ERROR(ReadPart(files, weight + kBnbNestedAbsmax, &parts.nested_absmax));
    ANAM_RETURN_IF_ERROR(ReadPart(files, weight + kBnbNestedQuantMap, &parts.nested_quant_map));
  } else {
    ANAM_RETURN_IF_ERROR(ReadPart(files, weight + kBnbAbsmax, &parts.absmax));
  }
  ANAM_ASSIGN_OR_RETURN(quant::Nf4Data data, quant::Nf4FromBnb(state, std::move(parts), weight));
  return FrozenWeightPtr(
      c10::make_intrusive<Nf4Weight>(std::move(data), out_features, in_features));
}

}  // namespace anamnesis::model
