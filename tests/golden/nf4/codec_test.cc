// SPDX-License-Identifier: Apache-2.0
// NF4 bit for bit against bitsandbytes' CPU library: codes, scales and decoded values, Torch's
// order of summation, and a state_dict that bitsandbytes wrote.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "tests/golden/nf4/goldens.h"
#include "tests/golden/oracle.h"
#include "workers/model/packed_loader.h"
#include "workers/quant/dynamic_map.h"
#include "workers/quant/lane_sum.h"

namespace anamnesis::model {
namespace {

using golden::Tensors;

// Whether the tensor holds exactly these bytes; −0 differs from 0.
template <typename T>
bool HasBits(const at::Tensor& tensor, std::span<const T> values) {
  return tensor.nbytes() == values.size_bytes() &&
         (values.empty() ||
          std::memcmp(tensor.const_data_ptr(), values.data(), values.size_bytes()) == 0);
}

bool HasBits(const at::Tensor& tensor, const at::Tensor& other) {
  return tensor.scalar_type() == other.scalar_type() &&
         HasBits(tensor, std::span(static_cast<const char*>(other.const_data_ptr()),
                                   static_cast<size_t>(other.nbytes())));
}

class Nf4Codec : public testing::Test {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    ASSERT_FALSE(golden::Nf4Directory().empty());
  }
};

TEST_F(Nf4Codec, DynamicMapIsBitIdentical) {
  EXPECT_TRUE(HasBits(golden::Nf4Tensors("codec.safetensors").at("dynamic_map"),
                      std::span<const float>(quant::DynamicMap())));
}

TEST_F(Nf4Codec, SumsAreThoseOfTorchOnOneThread) {
  const Tensors sums = golden::Nf4Tensors("sums.safetensors");
  int num_sums = 0;
  for (const auto& [name, values] : sums) {
    if (!name.ends_with("/values")) continue;
    const std::string size = name.substr(0, name.find('/'));
    const std::span<const float> span(values.const_data_ptr<float>(),
                                      static_cast<size_t>(values.numel()));
    EXPECT_EQ(quant::LaneSum(span), sums.at(size + "/sum").item<float>()) << size;
    ++num_sums;
  }
  EXPECT_EQ(num_sums, 32);
}

TEST_F(Nf4Codec, CodesScalesAndDecodedValuesAreBitIdentical) {
  const Tensors golden = golden::Nf4Tensors("codec.safetensors");
  int64_t num_cases = 0, num_elements = 0;
  for (const auto& [key, source] : golden) {
    if (!key.ends_with("/source")) continue;
    const std::string name = key.substr(0, key.find('/'));
    const auto weight = Nf4Weight::Quantise(source);
    ASSERT_TRUE(weight.ok()) << name << ": " << weight.status();
    const quant::Nf4Data& data = static_cast<const Nf4Weight&>(**weight).data();
    EXPECT_TRUE(HasBits(golden.at(name + "/codes"), std::span(data.codes))) << name;
    EXPECT_TRUE(HasBits(golden.at(name + "/absmax"), std::span(data.absmax_codes))) << name;
    EXPECT_TRUE(HasBits(golden.at(name + "/nested_absmax"), std::span(data.nested_absmax))) << name;
    EXPECT_EQ(golden.at(name + "/offset").item<float>(), data.nested_offset) << name;
    EXPECT_TRUE(HasBits(golden.at(name + "/f32"), (*weight)->Dense(at::kFloat))) << name;
    EXPECT_TRUE(HasBits(golden.at(name + "/bf16"), (*weight)->Dense(at::kBFloat16))) << name;
    ++num_cases;
    num_elements += source.numel();
  }
  EXPECT_EQ(num_cases, 18);
  std::cout << num_cases << " tensors, " << num_elements << " elements: bit-identical\n";
}

TEST_F(Nf4Codec, AStateDictThatBitsandbytesWroteDecodesToItsValues) {
  const auto files = WeightFiles::Open(golden::Nf4Directory() + "/linear");
  ASSERT_TRUE(files.ok()) << files.status();
  const Tensors golden = golden::Nf4Tensors("linear/decoded.safetensors");
  for (const auto& [name, rows, columns] :
       {std::tuple("a", 128, 64), std::tuple("b", 33, 64), std::tuple("c", 64, 192)}) {
    const auto weight = ReadBnbWeight(*files, Cat(name, ".weight"), rows, columns);
    ASSERT_TRUE(weight.ok()) << weight.status();
    EXPECT_TRUE(HasBits(golden.at(name), (*weight)->Dense(at::kFloat))) << name;
  }
}

TEST_F(Nf4Codec, AStateDictOfAnotherShapeIsRefused) {
  const auto files = WeightFiles::Open(golden::Nf4Directory() + "/linear");
  ASSERT_TRUE(files.ok()) << files.status();
  const Status status = ReadBnbWeight(*files, "a.weight", 64, 128).status();
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_NE(MessageOf(status).find("shape [128, 64], config.json needs [64, 128]"),
            std::string::npos)
      << status;
}

}  // namespace
}  // namespace anamnesis::model
