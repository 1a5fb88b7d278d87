// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/bnb_state.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <set>
#include <utility>

#include "common/io/json.h"
#include "workers/quant/dynamic_map.h"

namespace anamnesis::quant {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;

const std::set<std::string> kFields = {"quant_type",       "blocksize",    "dtype",        "shape",
                                       "nested_blocksize", "nested_dtype", "nested_offset"};

Status CheckKnown(const Json& json, const std::string& source) {
  if (!json.is_object()) return InvalidArgument(source, ": expected a JSON object");
  for (const auto& [key, value] : json.items()) {
    if (!kFields.contains(key)) return InvalidArgument(source, ": unknown key '", key, "'");
  }
  return absl::OkStatus();
}

Status CheckBlockSize(const Json& json, const char* key, int64_t built, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const int64_t size, JsonInt(json, key, source));
  if (size == built) return absl::OkStatus();
  return Unimplemented(source, ": ", key, ": ", size, " is not built yet; supported: ", built);
}

Status ReadShape(const Json& json, const std::string& source, std::vector<int64_t>* shape) {
  const auto wrong = [&] {
    return InvalidArgument(source, ": key 'shape': expected a list of two sizes, at least 1 each");
  };
  const auto it = json.find("shape");
  if (it == json.end() || !it->is_array() || it->size() != 2) return wrong();
  for (const Json& extent : *it) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() < 1 ||
        extent.get<uint64_t>() > static_cast<uint64_t>(kMaxElements)) {
      return wrong();
    }
    shape->push_back(extent.get<int64_t>());
  }
  return (*shape)[0] <= kMaxElements / (*shape)[1] ? absl::OkStatus() : wrong();
}

Status ReadNested(const Json& json, const std::string& source, BnbState* state) {
  const auto has = [&](const char* key) { return json.contains(key); };
  if (!has("nested_blocksize") && !has("nested_dtype") && !has("nested_offset")) {
    return absl::OkStatus();
  }
  state->nested = true;
  ANAM_RETURN_IF_ERROR(CheckBlockSize(json, "nested_blocksize", kNestedBlockSize, source));
  ANAM_ASSIGN_OR_RETURN(const std::string dtype, JsonString(json, "nested_dtype", source));
  if (dtype != "float32") {
    return Unimplemented(source, ": nested_dtype: ", dtype,
                         " is not built yet; supported: float32");
  }
  ANAM_ASSIGN_OR_RETURN(const double offset, JsonNumber(json, "nested_offset", source));
  state->nested_offset = static_cast<float>(offset);
  if (std::isfinite(state->nested_offset)) return absl::OkStatus();
  return InvalidArgument(source, ": key 'nested_offset': expected a number in fp32's range");
}

Status CheckSize(const std::string& source, const char* part, size_t found, int64_t expected) {
  if (found == static_cast<size_t>(expected)) return absl::OkStatus();
  return InvalidArgument(source, part, ": ", found, " elements; the shape needs ", expected);
}

bool AllFinite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](float value) { return std::isfinite(value); });
}

}  // namespace

StatusOr<BnbState> ParseBnbState(std::string_view text, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const Json json, ParseJson(text, source));
  ANAM_RETURN_IF_ERROR(CheckKnown(json, source));
  ANAM_ASSIGN_OR_RETURN(const std::string type, JsonString(json, "quant_type", source));
  if (type != "nf4") {
    return Unimplemented(source, ": quant_type: ", type, " is not built yet; supported: nf4");
  }
  ANAM_RETURN_IF_ERROR(CheckBlockSize(json, "blocksize", kNf4BlockSize, source));
  BnbState state;
  ANAM_ASSIGN_OR_RETURN(state.dtype, JsonString(json, "dtype", source));
  if (state.dtype != "float32" && state.dtype != "bfloat16" && state.dtype != "float16") {
    return InvalidArgument(source, ": key 'dtype': expected float32, bfloat16 or float16");
  }
  ANAM_RETURN_IF_ERROR(ReadShape(json, source, &state.shape));
  ANAM_RETURN_IF_ERROR(ReadNested(json, source, &state));
  return state;
}

StatusOr<Nf4Data> Nf4FromBnb(const BnbState& state, BnbParts parts, const std::string& source) {
  Nf4Data data;
  data.num_elements = state.num_elements();
  const int64_t blocks = data.num_blocks();
  ANAM_RETURN_IF_ERROR(CheckSize(source, "", parts.codes.size(), (data.num_elements + 1) / 2));
  ANAM_RETURN_IF_ERROR(CheckSize(source, ".quant_map", parts.quant_map.size(), 16));
  if (std::memcmp(parts.quant_map.data(), kNf4Values.data(), sizeof(kNf4Values)) != 0) {
    return InvalidArgument(source, ".quant_map: not the 16 values of NF4");
  }
  if (state.nested) {
    const int64_t groups = (blocks + kNestedBlockSize - 1) / kNestedBlockSize;
    ANAM_RETURN_IF_ERROR(CheckSize(source, ".absmax", parts.absmax_codes.size(), blocks));
    ANAM_RETURN_IF_ERROR(CheckSize(source, ".nested_absmax", parts.nested_absmax.size(), groups));
    ANAM_RETURN_IF_ERROR(
        CheckSize(source, ".nested_quant_map", parts.nested_quant_map.size(), 256));
    if (!AllFinite(parts.nested_quant_map)) {
      return InvalidArgument(source, ".nested_quant_map: a value is not finite");
    }
    const auto& own = DynamicMap();
    if (!std::equal(own.begin(), own.end(), parts.nested_quant_map.begin())) {
      data.nested_map = std::move(parts.nested_quant_map);
    }
    data.absmax_codes = std::move(parts.absmax_codes);
    data.nested_absmax = std::move(parts.nested_absmax);
    data.nested_offset = state.nested_offset;
  } else {
    ANAM_RETURN_IF_ERROR(CheckSize(source, ".absmax", parts.absmax.size(), blocks));
    data.absmax = std::move(parts.absmax);
  }
  data.codes = std::move(parts.codes);
  for (int64_t block = 0; block < blocks; ++block) {
    if (!std::isfinite(data.Scale(block))) {
      return InvalidArgument(source, ": the scale of block ", block, " is not finite");
    }
  }
  return data;
}

}  // namespace anamnesis::quant
