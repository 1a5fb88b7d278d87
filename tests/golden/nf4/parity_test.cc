// SPDX-License-Identifier: Apache-2.0
// QLoRA: logits, loss and the adapter's gradients on a base in 4 bits, against HF + PEFT in fp64 on
// the weights that bitsandbytes decodes. The gate: our error is at most 1.5 times that of HF + PEFT
// + bitsandbytes at the same precision, for every tensor.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/io/file.h"
#include "common/io/json.h"
#include "tests/golden/nf4/goldens.h"
#include "tests/golden/oracle.h"
#include "workers/adapter/trainable.h"

namespace anamnesis::adapter {
namespace {

using golden::Tensors;
using testing::HasSubstr;

constexpr int kBatches = 6;

std::unique_ptr<TrainableModel> Open(at::ScalarType dtype, const std::string& base = "base") {
  contract::ModelPlan plan;
  plan.name = plan.directory = golden::Nf4Directory() + "/" + base;
  plan.quantisation = base == "base" ? "nf4" : "none";
  auto opened = TrainableModel::Open(plan, golden::Nf4Directory() + "/adapter", at::kCPU, dtype);
  EXPECT_TRUE(opened.ok()) << opened.status();
  return opened.ok() ? std::move(*opened) : nullptr;
}

model::PackedBatch BatchOf(const Tensors& golden) {
  const at::Tensor ids = golden.at("ids").to(at::kInt), lengths = golden.at("lengths").to(at::kInt);
  const model::RowView row{
      {ids.const_data_ptr<int32_t>(), static_cast<size_t>(ids.numel())},
      {lengths.const_data_ptr<int32_t>(), static_cast<size_t>(lengths.numel())}};
  return model::PackBatch({{row}});
}

// By the golden file's names.
Tensors RunModel(TrainableModel* trainable, const model::PackedBatch& batch) {
  Tensors out;
  out["logits"] = trainable->Logits(batch);
  trainable->ZeroGradient();
  const at::Tensor loss = trainable->LossSum(batch, DropoutContext());
  loss.backward();
  out["loss"] = loss.detach().reshape({1});
  for (const NamedParameter& parameter : trainable->parameters()) {
    out["grad/" + parameter.name] = parameter.master.grad().clone();
  }
  return out;
}

// Root mean square over elements and batches, relative to the tensor's largest value.
struct ErrorSize {
  void Add(const at::Tensor& value, const at::Tensor& truth) {
    const at::Tensor error = (value.to(at::kDouble) - truth) / truth.abs().max();
    sum_of_squares += error.square().sum().item<double>();
    count += static_cast<double>(error.numel());
  }
  double Rms() const { return std::sqrt(sum_of_squares / count); }

  double sum_of_squares = 0;
  double count = 0;
};

class QloraParity : public testing::Test {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    ASSERT_FALSE(golden::Nf4Directory().empty());
    for (int batch = 0; batch < kBatches; ++batch) {
      goldens_.push_back(golden::Nf4Tensors(Cat(batch, ".safetensors")));
    }
  }

  void ExpectWithinGate(at::ScalarType dtype, const std::string& label) {
    const auto trainable = Open(dtype);
    ASSERT_NE(trainable, nullptr);
    std::map<std::string, std::pair<ErrorSize, ErrorSize>> errors;  // ours and theirs, by name
    for (const Tensors& golden : goldens_) {
      for (const auto& [name, value] : RunModel(trainable.get(), BatchOf(golden))) {
        const at::Tensor truth = golden.at("f64/" + name);
        errors[name].first.Add(value, truth);
        errors[name].second.Add(golden.at(label + "/" + name), truth);
      }
    }
    EXPECT_EQ(errors.size(), 30);  // logits, loss, A and B of seven layers in two blocks
    double worst = 0, mean = 0;
    for (const auto& [name, pair] : errors) {
      // The loss is one number: its floor is the rounding of fp32 itself.
      const double floor = name == "loss" ? 2e-7 : 0;
      const double ratio = pair.first.Rms() / std::max(floor, pair.second.Rms());
      worst = std::max(worst, ratio);
      mean += ratio / static_cast<double>(errors.size());
      EXPECT_LE(ratio, 1.5) << name << ": ours " << pair.first.Rms() << ", theirs "
                            << pair.second.Rms();
    }
    std::cout << label << ": error / HF + PEFT + bitsandbytes' error over " << errors.size()
              << " tensors: worst " << worst << ", mean " << mean << "\n";
  }

  std::vector<Tensors> goldens_;
};

TEST_F(QloraParity, InFp64EqualsTheDecodedModelTo1e10) {
  const auto trainable = Open(at::kDouble);
  ASSERT_NE(trainable, nullptr);
  double worst = 0;
  for (const auto& [name, value] : RunModel(trainable.get(), BatchOf(goldens_[0]))) {
    const double error =
        (value.to(at::kDouble) - goldens_[0].at("f64/" + name)).abs().max().item<double>();
    worst = std::max(worst, error);
    EXPECT_LE(error, 1e-10) << name;
  }
  std::cout << "f64: largest difference " << worst << "\n";
}

TEST_F(QloraParity, InFp32ErrsAtMost1Point5TimesAsBitsandbytes) {
  ExpectWithinGate(at::kFloat, "f32");
}

TEST_F(QloraParity, InBf16ErrsAtMost1Point5TimesAsBitsandbytes) {
  ExpectWithinGate(at::kBFloat16, "bf16");
}

TEST_F(QloraParity, ADirectoryThatTransformersQuantisedGivesTheSameBits) {
  const auto ours = Open(at::kBFloat16), theirs = Open(at::kBFloat16, "prequantised");
  ASSERT_NE(ours, nullptr);
  ASSERT_NE(theirs, nullptr);
  const std::vector<model::Linear*> a = ours->base().linears(), b = theirs->base().linears();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i + 1 < a.size(); ++i) {
    ASSERT_TRUE(a[i]->packed && b[i]->packed) << a[i]->name;
    EXPECT_TRUE(at::equal(a[i]->packed->Dense(at::kFloat), b[i]->packed->Dense(at::kFloat)))
        << a[i]->name;
  }
  EXPECT_FALSE(a.back()->packed);  // the head
  EXPECT_FALSE(b.back()->packed);
  const model::PackedBatch batch = BatchOf(goldens_[0]);
  EXPECT_TRUE(at::equal(ours->Logits(batch), theirs->Logits(batch)));
}

TEST_F(QloraParity, OtherQuantisationsOfADirectoryAreRefusedByName) {
  const std::string copy = golden::ScratchDirectory("other");
  std::filesystem::copy(
      golden::Nf4Directory() + "/prequantised", copy,
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  const Json config = *ReadJsonFile(copy + "/config.json");
  const std::vector<std::pair<Json, std::string>> kRows = {
      {{{"bnb_4bit_quant_type", "fp4"}}, "quantization_config.bnb_4bit_quant_type: fp4"},
      {{{"bnb_4bit_quant_storage", "bfloat16"}}, "bnb_4bit_quant_storage: bfloat16"},
      {{{"quant_method", "gptq"}}, "quantization_config.quant_method: gptq"},
      {{{"llm_int8_skip_modules", {"lm_head", "v_proj"}}}, "self_attn.v_proj: quantised in the"},
  };
  for (const auto& [change, says] : kRows) {
    Json changed = config;
    changed["quantization_config"].update(change);
    ASSERT_TRUE(WriteFileDurably(copy + "/config.json", changed.dump()).ok());
    const auto loaded = model::Decoder::Load(copy, at::kFloat);
    EXPECT_EQ(ExitCodeOf(loaded.status()), 6) << says;
    EXPECT_THAT(MessageOf(loaded.status()), HasSubstr(says));
  }
}

}  // namespace
}  // namespace anamnesis::adapter
