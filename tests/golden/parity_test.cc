// SPDX-License-Identifier: Apache-2.0
// Logits, loss and every gradient against HF transformers + PEFT in fp64, on tiny random models
// (make_golden.py), and adapters both ways. The gate: our error against fp64 is at most 1.5 times
// HF's own at the same precision, for every tensor.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "common/io/file.h"
#include "tests/golden/oracle.h"
#include "workers/adapter/peft_files.h"
#include "workers/adapter/trainable.h"
#include "workers/model/weights.h"

namespace anamnesis::adapter {
namespace {

const std::vector<std::string> kCases = {
    "plain", "linear_bias_rslora", "llama3_saved", "regex_old_rope", "tied", "tied_saved"};

constexpr int kBatches = 6;

using Tensors = std::map<std::string, at::Tensor>;

Tensors ReadAll(const std::string& path) {
  Tensors out;
  auto file = model::SafetensorsFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return out;
  for (const model::StoredTensor& stored : file->tensors()) {
    out[stored.name] = model::ReadTensor(*file, stored).value();
  }
  return out;
}

model::PackedBatch BatchOf(const Tensors& golden) {
  const at::Tensor ids = golden.at("ids").to(at::kInt), lengths = golden.at("lengths").to(at::kInt);
  const model::RowView row{
      {ids.const_data_ptr<int32_t>(), static_cast<size_t>(ids.numel())},
      {lengths.const_data_ptr<int32_t>(), static_cast<size_t>(lengths.numel())}};
  return model::PackBatch({{row}});
}

contract::ModelPlan PlanOf(const std::string& directory) {
  contract::ModelPlan plan;
  plan.name = directory;
  plan.directory = directory;
  return plan;
}

// Every document in one packed row: logits, loss and gradients by the golden file's names.
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

double LargestError(const at::Tensor& value, const at::Tensor& truth) {
  return (value.to(at::kDouble) - truth).abs().max().item<double>();
}

// Errors of one tensor over several batches, relative to the tensor's largest value.
struct ErrorSize {
  void Add(const at::Tensor& value, const at::Tensor& truth) {
    const double unit = truth.abs().max().item<double>();
    const at::Tensor error = (value.to(at::kDouble) - truth) / unit;
    largest = std::max(largest, error.abs().max().item<double>());
    sum_of_squares += error.square().sum().item<double>();
    count += static_cast<double>(error.numel());
  }
  double Rms() const { return std::sqrt(sum_of_squares / count); }

  double largest = 0;
  double sum_of_squares = 0;
  double count = 0;
};

class Parity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    ASSERT_FALSE(golden::GoldenDirectory().empty());
    directory_ = golden::GoldenDirectory() + "/" + GetParam();
    for (int batch = 0; batch < kBatches; ++batch) {
      goldens_.push_back(ReadAll(Cat(directory_, "/", batch, ".safetensors")));
    }
    golden_ = goldens_.front();
  }
  std::unique_ptr<TrainableModel> Open(at::ScalarType dtype) {
    auto opened = TrainableModel::Open(PlanOf(directory_ + "/base"), directory_ + "/adapter",
                                       at::kCPU, dtype);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? std::move(*opened) : nullptr;
  }
  // Checks the gate for one precision: for every tensor the root mean square of its errors over all
  // elements and batches, ours against HF's; and, as the mean over the tensors, the largest error.
  // (One tensor's largest error is a single draw of rounding noise: HF's own varies by a factor of
  // two between batches.) Prints both.
  void ExpectWithinGate(at::ScalarType dtype, const std::string& label) {
    const auto trainable = Open(dtype);
    ASSERT_NE(trainable, nullptr);
    std::map<std::string, std::pair<ErrorSize, ErrorSize>> errors;  // ours and HF's, by name
    for (const Tensors& golden : goldens_) {
      for (const auto& [name, value] : RunModel(trainable.get(), BatchOf(golden))) {
        ASSERT_TRUE(golden.contains(label + "/" + name)) << name;
        const at::Tensor truth = golden.at("f64/" + name);
        errors[name].first.Add(value, truth);
        errors[name].second.Add(golden.at(label + "/" + name), truth);
      }
    }
    double worst = 0, mean = 0, mean_of_largest = 0;
    for (const auto& [name, pair] : errors) {
      // The loss is one number: its floor is the rounding of fp32 itself.
      const double floor = name == "loss" ? 2e-7 : 0;
      const double ratio = pair.first.Rms() / std::max(floor, pair.second.Rms());
      worst = std::max(worst, ratio);
      mean += ratio / static_cast<double>(errors.size());
      mean_of_largest += pair.first.largest / std::max(floor, pair.second.largest) /
                         static_cast<double>(errors.size());
      EXPECT_LE(ratio, 1.5) << name << ": ours " << pair.first.Rms() << ", HF's "
                            << pair.second.Rms();
    }
    EXPECT_LE(mean_of_largest, 1.5);
    std::cout << GetParam() << " " << label << ": error / HF's error over " << errors.size()
              << " tensors: rms worst " << worst << ", mean " << mean << "; largest, mean "
              << mean_of_largest << "\n";
  }

  std::string directory_;
  std::vector<Tensors> goldens_;  // several batches of documents
  Tensors golden_;                // the first
};

TEST_P(Parity, InFp64EqualsHfAndPeftTo1e10) {
  const auto trainable = Open(at::kDouble);
  ASSERT_NE(trainable, nullptr);
  const Tensors ours = RunModel(trainable.get(), BatchOf(golden_));
  double worst = 0;
  size_t num_golden = 0;
  for (const auto& [name, value] : golden_) num_golden += name.starts_with("f64/") ? 1 : 0;
  EXPECT_EQ(ours.size(), num_golden);
  for (const auto& [name, value] : ours) {
    ASSERT_TRUE(golden_.contains("f64/" + name)) << name;
    const double error = LargestError(value, golden_.at("f64/" + name));
    worst = std::max(worst, error);
    EXPECT_LE(error, 1e-10) << name;
  }
  std::cout << GetParam() << " f64: largest difference " << worst << "\n";
}

TEST_P(Parity, InFp32ErrsAtMost1Point5TimesAsHf) { ExpectWithinGate(at::kFloat, "f32"); }

TEST_P(Parity, InBf16ErrsAtMost1Point5TimesAsHf) { ExpectWithinGate(at::kBFloat16, "bf16"); }

TEST_P(Parity, PackedRowEqualsSeparateDocuments) {
  const auto trainable = Open(at::kDouble);
  ASSERT_NE(trainable, nullptr);
  const Tensors packed = RunModel(trainable.get(), BatchOf(golden_));
  const at::Tensor lengths = golden_.at("lengths");
  trainable->ZeroGradient();
  double loss = 0;
  int64_t start = 0;
  for (int64_t i = 0; i < lengths.numel(); ++i) {
    const int64_t length = lengths[i].item<int64_t>();
    const Tensors one = {{"ids", golden_.at("ids").narrow(0, start, length).clone()},
                         {"lengths", at::full({1}, length, at::kLong)}};
    const at::Tensor sum = trainable->LossSum(BatchOf(one), DropoutContext());
    sum.backward();
    loss += sum.item<double>();
    start += length;
  }
  EXPECT_NEAR(loss, packed.at("loss").item<double>(), 1e-9);
  for (const NamedParameter& parameter : trainable->parameters()) {
    EXPECT_LE(LargestError(parameter.master.grad(), packed.at("grad/" + parameter.name)), 1e-11)
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

TEST(Adapter, OfOursOpensInPeftWithEqualLogits) {
  if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  std::string arguments;
  for (const std::string& name : kCases) {
    const std::string directory = golden::GoldenDirectory() + "/" + name;
    const Tensors tensors = ReadAll(directory + "/0.safetensors");
    auto trainable = TrainableModel::Open(PlanOf(directory + "/base"), directory + "/adapter");
    ASSERT_TRUE(trainable.ok()) << trainable.status();
    const std::string scratch = golden::ScratchDirectory("saved-" + name);
    ASSERT_TRUE((*trainable)->SaveAdapter(scratch).ok());
    const at::Tensor logits = (*trainable)->Logits(BatchOf(tensors)).contiguous();
    ASSERT_TRUE(model::WriteSafetensors(scratch + "/logits.safetensors",
                                        {*model::ViewOf("ids", tensors.at("ids")),
                                         *model::ViewOf("lengths", tensors.at("lengths")),
                                         *model::ViewOf("logits", logits)})
                    .ok());
    arguments.append(directory).append("/base ").append(scratch).append(" ");
  }
  int status = 0;
  const std::string output = golden::RunOracle("peft_opens.py", arguments, &status);
  ASSERT_EQ(status, 0) << output;
  const std::string kMark = "largest difference ";
  size_t num_opened = 0;
  for (size_t at = output.find(kMark); at != std::string::npos; at = output.find(kMark, at + 1)) {
    const double difference = std::stod(output.substr(at + kMark.size()));
    std::cout << kCases[num_opened++] << ": logits in PEFT differ by " << difference << "\n";
    EXPECT_LE(difference, 1e-5);
  }
  EXPECT_EQ(num_opened, kCases.size());
}

TEST(Safetensors, WrittenBytesEqualThePythonLibrarys) {
  if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  const std::string theirs = golden::GoldenDirectory() + "/mixed.safetensors";
  const Tensors tensors = ReadAll(theirs);
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
      TrainableModel::Open(PlanOf(directory + "/base"), directory + "/adapter", at::kCPU);
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
