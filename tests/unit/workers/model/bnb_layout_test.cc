// SPDX-License-Identifier: Apache-2.0
#include "workers/model/bnb_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/temporary_folder.h"

namespace anamnesis::model {
namespace {

using testing::HasSubstr;

constexpr char kWeight[] = "model.layers.0.mlp.up_proj.weight";

// A file with one quantised weight of 300 × 100 elements (469 blocks) and a norm.
std::vector<TensorView> Views() {
  static const std::vector<char> zeros(1 << 16);
  const auto view = [](const std::string& name, StoredType type, std::vector<int64_t> shape) {
    return TensorView{name, type, std::move(shape), zeros.data()};
  };
  const std::string weight = kWeight;
  return {view(weight, StoredType::kU8, {15000, 1}),
          view(weight + kBnbState, StoredType::kU8, {90}),
          view(weight + kBnbQuantMap, StoredType::kF32, {16}),
          view(weight + kBnbAbsmax, StoredType::kU8, {469}),
          view(weight + kBnbNestedAbsmax, StoredType::kF32, {2}),
          view(weight + kBnbNestedQuantMap, StoredType::kF32, {256}),
          view("model.norm.weight", StoredType::kBF16, {100})};
}

const std::vector<ExpectedTensor> kExpected = {{kWeight, {300, 100}}, {"model.norm.weight", {100}}};

StatusOr<WeightFiles> Write(const TemporaryFolder& folder, const std::vector<TensorView>& views) {
  ANAM_RETURN_IF_ERROR(WriteSafetensors(folder.File("model.safetensors"), views));
  return WeightFiles::Open(folder.path());
}

TEST(BnbLayout, AQuantisedWeightIsExpectedAsItsParts) {
  const TemporaryFolder folder;
  const auto files = Write(folder, Views());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_TRUE(*IsBnbQuantised(*files, kWeight));
  EXPECT_FALSE(*IsBnbQuantised(*files, "model.norm.weight"));
  const auto expected = WithBnbTensors(*files, kExpected);
  ASSERT_TRUE(expected.ok()) << expected.status();
  EXPECT_EQ(expected->size(), 7);
  EXPECT_TRUE(files->CheckAgainst(*expected).ok());
  EXPECT_FALSE(files->CheckAgainst(kExpected).ok());
}

TEST(BnbLayout, WithoutDoubleQuantisationScalesAreFp32) {
  const TemporaryFolder folder;
  std::vector<TensorView> views = Views();
  views.erase(views.begin() + 4, views.begin() + 6);
  views[3].type = StoredType::kF32;
  const auto files = Write(folder, views);
  ASSERT_TRUE(files.ok());
  const auto expected = WithBnbTensors(*files, kExpected);
  ASSERT_TRUE(expected.ok()) << expected.status();
  EXPECT_TRUE(files->CheckAgainst(*expected).ok());
}

TEST(BnbLayout, ADenseCheckpointIsExpectedAsItIs) {
  const TemporaryFolder folder;
  const auto files = Write(folder, {Views().back()});
  const auto expected = WithBnbTensors(*files, {kExpected.back()});
  ASSERT_TRUE(expected.ok());
  EXPECT_EQ(expected->size(), 1);
  EXPECT_FALSE(expected->front().packed);
}

TEST(BnbLayout, EachBadPartIsRefusedByName) {
  const struct {
    std::function<void(std::vector<TensorView>*)> damage;
    const char* says;
  } kRows[] = {
      {[](auto* views) {
         (*views)[0].shape = {14999, 1};
       },
       "weight: 14999 elements, expected 15000"},
      {[](auto* views) { (*views)[0].type = StoredType::kBF16; },
       "stored as BF16 (bnb_4bit_quant_storage) are not built yet; supported: U8"},
      {[](auto* views) { (*views)[1].type = StoredType::kI8; }, "dtype I8, expected U8"},
      {[](auto* views) { (*views)[1].shape = {65537}; }, "expected a text of at most 65536 bytes"},
      {[](auto* views) {
         (*views)[1].name = std::string(kWeight) + ".quant_state.bitsandbytes__fp4";
       },
       "quant_type: fp4 is not built yet; supported: nf4"},
      {[](auto* views) { (*views)[2].shape = {15}; }, ".quant_map: 15 elements, expected 16"},
      {[](auto* views) { (*views)[3].shape = {468}; }, ".absmax: 468 elements, expected 469"},
      {[](auto* views) { (*views)[3].type = StoredType::kF32; }, ".absmax: dtype F32, expected U8"},
      {[](auto* views) { (*views)[4].shape = {3}; }, ".nested_absmax: 3 elements, expected 2"},
      {[](auto* views) { (*views)[5].shape = {128}; }, ".nested_quant_map: 128 elements"},
      {[](auto* views) { views->erase(views->begin() + 5); }, ".nested_quant_map: missing"},
      {[](auto* views) { views->erase(views->begin() + 3); }, ".absmax: missing"},
      {[](auto* views) { views->erase(views->begin()); }, "up_proj.weight: missing"},
  };
  for (const auto& row : kRows) {
    const TemporaryFolder folder;
    std::vector<TensorView> views = Views();
    row.damage(&views);
    const auto files = Write(folder, views);
    ASSERT_TRUE(files.ok()) << files.status();
    const Status status = WithBnbTensors(*files, kExpected).status();
    EXPECT_EQ(ExitCodeOf(status), 6) << row.says;
    EXPECT_THAT(MessageOf(status), HasSubstr(row.says));
    EXPECT_THAT(MessageOf(status), HasSubstr(kWeight));
  }
}

}  // namespace
}  // namespace anamnesis::model
