// SPDX-License-Identifier: Apache-2.0
// The JSON text of a bitsandbytes weight and the parts beside it: what is accepted decodes whole.
#include <algorithm>
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "workers/quant/bnb_state.h"
#include "workers/quant/dynamic_map.h"

namespace {

namespace quant = anamnesis::quant;

constexpr int64_t kMaxElements = 1 << 16;

// Parts that fit the state, filled with the text's own bytes.
quant::BnbParts PartsOf(const quant::BnbState& state, std::string_view text) {
  const auto elements = static_cast<size_t>(state.num_elements());
  const size_t blocks = (elements + 63) / 64;
  const auto bytes = [&](size_t size) {
    std::vector<uint8_t> out(size);
    for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(text[i % text.size()]);
    return out;
  };
  quant::BnbParts parts;
  parts.codes = bytes((elements + 1) / 2);
  parts.quant_map.assign(quant::kNf4Values.begin(), quant::kNf4Values.end());
  if (state.nested) {
    parts.absmax_codes = bytes(blocks);
    parts.nested_absmax.assign((blocks + 255) / 256, 0.5f);
    parts.nested_quant_map.assign(quant::DynamicMap().begin(), quant::DynamicMap().end());
  } else {
    parts.absmax.assign(blocks, 0.25f);
  }
  return parts;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [3, 50], )"
          R"("nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.0312})",
          R"({"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [64, 64]})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto state = quant::ParseBnbState(text, "fuzz");
  if (!state.ok()) return anamnesis::ExitCodeOf(state.status()) == 6 ? 0 : (__builtin_trap(), 0);
  if (state->num_elements() > kMaxElements) return 0;
  const auto weight = quant::Nf4FromBnb(*state, PartsOf(*state, text), "fuzz");
  if (!weight.ok()) return 0;  // an offset at the end of fp32
  std::vector<float> values(static_cast<size_t>(weight->num_elements));
  quant::DecodeNf4(*weight, 0, weight->num_blocks(), values.data());
  return 0;
}
