// SPDX-License-Identifier: Apache-2.0
// Logits, loss and every gradient against HF transformers + PEFT in fp64, on tiny random models of
// every family (golden_cases.py), by the gate of parity_gate.h, and adapters both ways.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "common/io/file.h"
#include "tests/golden/oracle.h"
#include "tests/golden/parity_gate.h"
#include "workers/adapter/peft_files.h"
#include "workers/adapter/trainable.h"
#include "workers/model/weights.h"

namespace anamnesis::adapter {
namespace {

const std::vector<std::string> kCases = {"plain",         "linear_bias_rslora",
                                         "llama3_saved",  "regex_old_rope",
                                         "tied",          "tied_saved",
                                         "llama_dynamic", "mistral",
                                         "phi",           "phi_plain",
                                         "phi3",          "phi3_longrope",
                                         "gemma",         "gemma2",
                                         "gemma3",        "gemma3_nested",
                                         "qwen2",         "qwen3",
                                         "qwen3_yarn",    "bias_lora_only"};

using golden::BatchOfGolden;
using golden::LargestDifference;
using golden::NamedTensors;
using golden::PlanOfDirectory;
using golden::ReadAllTensors;

class Parity : public golden::ParityCase {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    OpenCase(golden::GoldenDirectory(), "none");
  }
};

TEST_P(Parity, InFp64EqualsHfAndPeftTo1e10) { ExpectEqualInFp64(); }

TEST_P(Parity, InFp32ErrsAtMost1Point5TimesAsHf) {
  ExpectWithinGate(at::kFloat, "f32", GetParam() + " f32");
}

TEST_P(Parity, InBf16ErrsAtMost1Point5TimesAsHf) {
  ExpectWithinGate(at::kBFloat16, "bf16", GetParam() + " bf16");
}

TEST_P(Parity, InFp16ErrsAtMost1Point5TimesAsHf) {
  ExpectWithinGate(at::kHalf, "f16", GetParam() + " f16");
}

TEST_P(Parity, PackedRowEqualsSeparateDocuments) {
  const auto trainable = Open(at::kDouble);
  ASSERT_NE(trainable, nullptr);
  const NamedTensors packed = golden::RunOnBatch(trainable.get(), BatchOfGolden(goldens_.front()));
  const at::Tensor lengths = goldens_.front().at("lengths");
  trainable->ZeroGradient();
  double loss = 0;
  int64_t start = 0;
  for (int64_t i = 0; i < lengths.numel(); ++i) {
    const int64_t length = lengths[i].item<int64_t>();
    const NamedTensors one = {{"ids", goldens_.front().at("ids").narrow(0, start, length).clone()},
                              {"lengths", at::full({1}, length, at::kLong)}};
    const at::Tensor sum = trainable->LossSum(BatchOfGolden(one), DropoutContext());
    sum.backward();
    loss += sum.item<double>();
    start += length;
  }
  EXPECT_NEAR(loss, packed.at("loss").item<double>(), 1e-9);
  for (const NamedParameter& parameter : trainable->parameters()) {
    EXPECT_LE(LargestDifference(parameter.master.grad(), packed.at("grad/" + parameter.name)),
              1e-11)
        << parameter.name;
  }
}

TEST_P(Parity, PeftMadeAdapterKeepsItsConfigurationThroughOurs) {
  const std::string text = ReadFile(directory_ + "/adapter/adapter_config.json").value();
  const Json theirs = ParseJson(text, "adapter_config.json").value();
  EXPECT_EQ(AdapterConfigText(theirs), text);
  const auto config = AdapterConfigFromJson(theirs, "adapter_config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  const Json ours = AdapterConfigJson(config->lora, config->base_model_name);
  EXPECT_EQ(ours, theirs) << Json::diff(theirs, ours).dump();
}

INSTANTIATE_TEST_SUITE_P(Cases, Parity, testing::ValuesIn(kCases),
                         [](const auto& one) { return one.param; });

// Saves the adapter with our logits of the batch beside it; returns peft_opens.py's arguments.
std::string SavedForPeft(TrainableModel* trainable, const NamedTensors& tensors,
                         const std::string& base, const std::string& name) {
  const std::string scratch = golden::ScratchDirectory("saved-" + name);
  EXPECT_TRUE(trainable->SaveAdapter(scratch).ok());
  const at::Tensor logits = trainable->Logits(BatchOfGolden(tensors)).contiguous();
  EXPECT_TRUE(model::WriteSafetensors(scratch + "/logits.safetensors",
                                      {*model::ViewOf("ids", tensors.at("ids")),
                                       *model::ViewOf("lengths", tensors.at("lengths")),
                                       *model::ViewOf("logits", logits)})
                  .ok());
  return Cat(base, " ", scratch, " ");
}

// Opens them all in PEFT and expects equal logits.
void ExpectEqualInPeft(const std::vector<std::string>& names, const std::string& arguments) {
  int status = 0;
  const std::string output = golden::RunOracle("peft_opens.py", arguments, &status);
  ASSERT_EQ(status, 0) << output;
  const std::string kMark = "largest difference ";
  size_t num_opened = 0;
  for (size_t at = output.find(kMark); at != std::string::npos; at = output.find(kMark, at + 1)) {
    ASSERT_LT(num_opened, names.size());
    const double difference = std::stod(output.substr(at + kMark.size()));
    std::cout << names[num_opened++] << ": logits in PEFT differ by " << difference << "\n";
    EXPECT_LE(difference, 1e-5);
  }
  EXPECT_EQ(num_opened, names.size());
}

TEST(Adapter, OfOursOpensInPeftWithEqualLogits) {
  if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  std::string arguments;
  for (const std::string& name : kCases) {
    const std::string directory = golden::GoldenDirectory() + "/" + name;
    const NamedTensors tensors = ReadAllTensors(directory + "/0.safetensors");
    auto trainable =
        TrainableModel::Open(PlanOfDirectory(directory + "/base"), directory + "/adapter");
    ASSERT_TRUE(trainable.ok()) << trainable.status();
    arguments += SavedForPeft(trainable->get(), tensors, directory + "/base", name);
  }
  ExpectEqualInPeft(kCases, arguments);
}

// The seed's target list, fitted to fused projections and to a text model beside a vision tower.
TEST(Adapter, OfTheSeedsTargetsOpensInPeft) {
  if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  contract::LoraPlan lora;
  lora.r = 4;
  lora.target_modules = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                         "gate_proj", "up_proj", "down_proj"};
  const std::vector<std::string> names = {"phi3", "gemma3_nested"};
  std::string arguments;
  for (const std::string& name : names) {
    const std::string directory = golden::GoldenDirectory() + "/" + name;
    auto trainable = TrainableModel::Load(PlanOfDirectory(directory + "/base"), lora, 1);
    ASSERT_TRUE(trainable.ok()) << trainable.status();
    EXPECT_FALSE((*trainable)->notes().empty());
    EXPECT_EQ((*trainable)->targets().lora.size(), name == "phi3" ? 8 : 14);
    {
      const at::NoGradGuard no_grad;
      (*trainable)->flat_parameters().add_(0.01);
    }
    arguments += SavedForPeft(trainable->get(), ReadAllTensors(directory + "/0.safetensors"),
                              directory + "/base", name + "-seed");
  }
  ExpectEqualInPeft(names, arguments);
}

TEST(Safetensors, WrittenBytesEqualThePythonLibrarys) {
  if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  const std::string theirs = golden::GoldenDirectory() + "/mixed.safetensors";
  const NamedTensors tensors = ReadAllTensors(theirs);
  ASSERT_EQ(tensors.size(), 9);
  std::vector<model::TensorView> views;
  for (const auto& [name, tensor] : tensors) views.push_back(*model::ViewOf(name, tensor));
  const std::string ours = golden::ScratchDirectory("mixed") + "/mixed.safetensors";
  ASSERT_TRUE(model::WriteSafetensors(ours, views).ok());
  EXPECT_EQ(*FileSha256(ours), *FileSha256(theirs));
}

TEST(Adapter, OfPeftWithAnUnsupportedFieldIsRefusedByField) {
  if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  const std::string directory = golden::GoldenDirectory() + "/plain";
  auto trainable =
      TrainableModel::Open(PlanOfDirectory(directory + "/base"), directory + "/adapter", at::kCPU);
  ASSERT_TRUE(trainable.ok());
  const std::string copy = golden::ScratchDirectory("dora");
  std::filesystem::copy(directory + "/adapter", copy, std::filesystem::copy_options::recursive);
  Json config = *ReadJsonFile(copy + "/adapter_config.json");
  config["use_dora"] = true;
  ASSERT_TRUE(WriteFileDurably(copy + "/adapter_config.json", AdapterConfigText(config)).ok());
  const at::Tensor before = (*trainable)->flat_parameters().clone();
  const Status status = (*trainable)->LoadAdapter(copy);
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_NE(MessageOf(status).find("use_dora: true is not built yet"), std::string::npos) << status;
  EXPECT_TRUE(at::equal(before, (*trainable)->flat_parameters()));
}

}  // namespace
}  // namespace anamnesis::adapter
