// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/bnb_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "common/io/json.h"
#include "workers/quant/dynamic_map.h"

namespace anamnesis::quant {
namespace {

using testing::HasSubstr;

Json Nested() {
  return {{"quant_type", "nf4"},  {"blocksize", 64},         {"dtype", "bfloat16"},
          {"shape", {3, 50}},     {"nested_blocksize", 256}, {"nested_dtype", "float32"},
          {"nested_offset", 0.25}};
}

BnbParts Parts() {  // of Nested(): 150 elements, 3 blocks
  BnbParts parts;
  parts.codes.assign(75, 0x7F);
  parts.absmax_codes = {255, 127, 0};
  parts.quant_map.assign(kNf4Values.begin(), kNf4Values.end());
  parts.nested_absmax = {0.125f};
  parts.nested_quant_map.assign(DynamicMap().begin(), DynamicMap().end());
  return parts;
}

TEST(BnbState, FieldsAreRead) {
  const auto state = ParseBnbState(Nested().dump(), "w");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->shape, (std::vector<int64_t>{3, 50}));
  EXPECT_EQ(state->dtype, "bfloat16");
  EXPECT_TRUE(state->nested);
  EXPECT_EQ(state->nested_offset, 0.25f);
}

TEST(BnbState, EachBadFieldIsRefusedByName) {
  const struct {
    const char* key;
    Json value;  // null: removed
    const char* says;
  } kRows[] = {
      {"quant_type", nullptr, "key 'quant_type' is missing"},
      {"quant_type", "fp4", "quant_type: fp4 is not built yet; supported: nf4"},
      {"quant_type", 4, "quant_type"},
      {"blocksize", 128, "blocksize: 128 is not built yet; supported: 64"},
      {"blocksize", "64", "blocksize"},
      {"dtype", "float64", "key 'dtype': expected float32, bfloat16 or float16"},
      {"dtype", nullptr, "dtype"},
      {"shape", nullptr, "key 'shape': expected a list of two sizes"},
      {"shape", {3}, "key 'shape'"},
      {"shape", {3, -50}, "key 'shape'"},
      {"shape", {0, 50}, "key 'shape'"},
      {"shape", {3, 2.5}, "key 'shape'"},
      {"shape", {int64_t{1} << 39, int64_t{1} << 39}, "key 'shape'"},
      {"shape", {std::numeric_limits<uint64_t>::max(), 1}, "key 'shape'"},
      {"nested_blocksize", 512, "nested_blocksize: 512 is not built yet; supported: 256"},
      {"nested_blocksize", nullptr, "nested_blocksize"},
      {"nested_dtype", "bfloat16", "nested_dtype: bfloat16 is not built yet"},
      {"nested_offset", nullptr, "nested_offset"},
      {"nested_offset", "0.1", "nested_offset"},
      {"nested_offset", 1e300, "key 'nested_offset': expected a number in fp32's range"},
      {"extra", 1, "unknown key 'extra'"},
  };
  for (const auto& row : kRows) {
    Json json = Nested();
    json[row.key] = row.value;
    if (row.value.is_null()) json.erase(row.key);
    const auto state = ParseBnbState(json.dump(), "layer.weight.quant_state");
    EXPECT_EQ(ExitCodeOf(state.status()), 6) << row.key;
    EXPECT_THAT(MessageOf(state.status()), HasSubstr(row.says)) << row.key;
    EXPECT_THAT(MessageOf(state.status()), HasSubstr("layer.weight.quant_state"));
  }
  for (const char* text : {"", "[]", "{", "{\"shape\": [1, 2]}", "\x01\x02", "null"}) {
    EXPECT_EQ(ExitCodeOf(ParseBnbState(text, "w").status()), 6) << text;
  }
}

TEST(BnbParts, DecodeByTheirOwnMap) {
  const BnbState state = *ParseBnbState(Nested().dump(), "w");
  BnbParts parts = Parts();
  parts.nested_quant_map[255] = 2.0f;
  const auto data = Nf4FromBnb(state, std::move(parts), "w");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->Scale(0), 0.5f);   // 2 · 0.125 + 0.25
  EXPECT_EQ(data->Scale(1), 0.25f);  // zero of the map
  EXPECT_TRUE(Nf4FromBnb(state, Parts(), "w")->nested_map.empty());
}

TEST(BnbParts, WithoutDoubleQuantisationHaveFp32Scales) {
  Json json = Nested();
  for (const char* key : {"nested_blocksize", "nested_dtype", "nested_offset"}) json.erase(key);
  BnbParts parts = Parts();
  parts.absmax = {1.0f, 2.0f, 3.0f};
  const auto data = Nf4FromBnb(*ParseBnbState(json.dump(), "w"), std::move(parts), "w");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->Scale(2), 3.0f);
}

TEST(BnbParts, EachBadPartIsRefusedByName) {
  const BnbState state = *ParseBnbState(Nested().dump(), "w");
  const struct {
    std::function<void(BnbParts*)> damage;
    const char* says;
  } kRows[] = {
      {[](BnbParts* p) { p->codes.pop_back(); }, "w: 74 elements; the shape needs 75"},
      {[](BnbParts* p) { p->absmax_codes.push_back(1); },
       "w.absmax: 4 elements; the shape needs 3"},
      {[](BnbParts* p) { p->quant_map.pop_back(); }, "w.quant_map: 15 elements"},
      {[](BnbParts* p) { p->quant_map[3] = 0; }, "w.quant_map: not the 16 values of NF4"},
      {[](BnbParts* p) { p->nested_absmax.clear(); }, "w.nested_absmax: 0 elements"},
      {[](BnbParts* p) { p->nested_absmax[0] = NAN; }, "the scale of block 0 is not finite"},
      {[](BnbParts* p) { p->nested_quant_map.clear(); }, "w.nested_quant_map: 0 elements"},
      {[](BnbParts* p) { p->nested_quant_map[9] = INFINITY; }, "w.nested_quant_map: a value"},
  };
  for (const auto& row : kRows) {
    BnbParts parts = Parts();
    row.damage(&parts);
    const auto data = Nf4FromBnb(state, std::move(parts), "w");
    EXPECT_EQ(data.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(MessageOf(data.status()), HasSubstr(row.says));
  }
}

}  // namespace
}  // namespace anamnesis::quant
