// SPDX-License-Identifier: Apache-2.0
// Logits, loss and every gradient against HF transformers + PEFT in fp64, on tiny random models of
// every family (golden_cases.py), and adapters both ways. Prints one table at the end. The gate:
// our error against fp64 is at most 1.5 times HF's own at the same precision, for every tensor.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "common/io/file.h"
#include "tests/golden/oracle.h"
#include "workers/adapter/peft_files.h"
#include "workers/adapter/trainable.h"
#include "workers/model/head_loss.h"
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
                                         "qwen3_yarn"};

constexpr double kFp16Scale = 4;  // of the loss, as make_golden.py's

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

// The loss of each label by itself.
at::Tensor LabelLosses(TrainableModel* trainable, const model::PackedBatch& batch) {
  const at::NoGradGuard no_grad;
  model::Decoder& base = trainable->base();
  const at::Tensor hidden_ND = base.Hidden(batch).index_select(0, batch.label_positions_N);
  std::vector<at::Tensor> losses;
  for (int64_t i = 0; i < batch.num_labels; ++i) {
    losses.push_back(model::HeadLossSum(
        hidden_ND.narrow(0, i, 1), base.lm_head().weight, batch.labels_N.narrow(0, i, 1),
        base.lm_head().bias.value_or(at::Tensor()), base.config().final_logit_softcapping));
  }
  return at::stack(losses);
}

// Every document in one packed row: logits, loss and gradients by the golden file's names.
Tensors RunModel(TrainableModel* trainable, const model::PackedBatch& batch) {
  Tensors out;
  out["logits"] = trainable->Logits(batch);
  out["losses"] = LabelLosses(trainable, batch);
  trainable->ZeroGradient();
  const at::Tensor loss = trainable->LossSum(batch, DropoutContext());
  const double scale = trainable->base().dtype() == at::kHalf ? kFp16Scale : 1.0;
  loss.backward(at::full_like(loss, scale));
  out["loss"] = loss.detach().reshape({1});
  for (const NamedParameter& parameter : trainable->parameters()) {
    out["grad/" + parameter.name] = parameter.master.grad() / scale;
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

// One line of the table: the largest errors relative to each tensor's largest value, ours and HF's.
struct TableRow {
  std::string name;
  std::map<std::string, std::pair<double, double>> largest;  // by logits, loss, gradients
  double worst_ratio = 0;                                    // of the root mean squares
  std::string worst;                                         // the tensor that has it
};

class Table : public testing::Environment {
 public:
  static std::vector<TableRow>& Rows() {
    static std::vector<TableRow> rows;
    return rows;
  }
  // The tensors are tiny: more threads would only wait for each other.
  void SetUp() override { at::set_num_threads(1); }
  void TearDown() override {
    if (Rows().empty()) return;
    std::printf("%-26s %21s  %21s  %21s  %s\n", "largest error vs fp64", "logits ours / HF",
                "loss ours / HF", "gradients ours / HF", "worst rms ratio");
    for (TableRow& row : Rows()) {
      std::printf("%-26s", row.name.c_str());
      for (const char* kind : {"logits", "loss", "gradients"}) {
        std::printf("   %8.2e / %8.2e", row.largest[kind].first, row.largest[kind].second);
      }
      std::printf("   %.2f %s\n", row.worst_ratio, row.worst.c_str());
    }
  }
};

const testing::Environment* const kTable = testing::AddGlobalTestEnvironment(new Table);

class Parity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    ASSERT_FALSE(golden::GoldenDirectory().empty());
    directory_ = golden::GoldenDirectory() + "/" + GetParam();
    for (int batch = 0; PathExists(Cat(directory_, "/", batch, ".safetensors")); ++batch) {
      goldens_.push_back(ReadAll(Cat(directory_, "/", batch, ".safetensors")));
    }
    ASSERT_FALSE(goldens_.empty());
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
  // two between batches.) Adds a line to the table.
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
    TableRow row{GetParam() + " " + label, {}, 0, ""};
    double mean_of_largest = 0;
    for (const auto& [name, pair] : errors) {
      const double ratio = pair.first.Rms() / pair.second.Rms();
      auto& largest = row.largest[name.starts_with("grad/") ? "gradients" : name];
      largest.first = std::max(largest.first, pair.first.largest);
      largest.second = std::max(largest.second, pair.second.largest);
      if (name == "loss") continue;  // below
      if (ratio > row.worst_ratio) row.worst = name.substr(name.starts_with("grad/") ? 22 : 0);
      row.worst_ratio = std::max(row.worst_ratio, ratio);
      mean_of_largest +=
          pair.first.largest / pair.second.largest / static_cast<double>(errors.size() - 1);
      EXPECT_LE(ratio, 1.5) << name << ": ours " << pair.first.Rms() << ", HF's "
                            << pair.second.Rms();
    }
    ExpectLossWithinGate(errors.at("loss"), label);
    EXPECT_LE(mean_of_largest, 1.5);
    Table::Rows().push_back(row);
  }

  // The loss of a batch is one number, and HF's error of it a single draw: it may be near 0. Its
  // scale is that of HF's errors of the labels, taken as independent, and the rounding of fp32.
  void ExpectLossWithinGate(const std::pair<ErrorSize, ErrorSize>& errors,
                            const std::string& label) {
    double scale = 2e-7;
    for (const Tensors& golden : goldens_) {
      const at::Tensor truth = golden.at("f64/losses");
      const double spread =
          (golden.at(label + "/losses").to(at::kDouble) - truth).norm().item<double>();
      scale = std::max(scale, spread / truth.sum().item<double>());
    }
    EXPECT_LE(errors.first.Rms(), std::max(1.5 * errors.second.Rms(), 2.0 * scale))
        << "loss; scale " << scale;
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

TEST_P(Parity, InFp16ErrsAtMost1Point5TimesAsHf) { ExpectWithinGate(at::kHalf, "f16"); }

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

// Saves the adapter with our logits of the batch beside it; returns peft_opens.py's arguments.
std::string SavedForPeft(TrainableModel* trainable, const Tensors& tensors, const std::string& base,
                         const std::string& name) {
  const std::string scratch = golden::ScratchDirectory("saved-" + name);
  EXPECT_TRUE(trainable->SaveAdapter(scratch).ok());
  const at::Tensor logits = trainable->Logits(BatchOf(tensors)).contiguous();
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
    const Tensors tensors = ReadAll(directory + "/0.safetensors");
    auto trainable = TrainableModel::Open(PlanOf(directory + "/base"), directory + "/adapter");
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
    auto trainable = TrainableModel::Load(PlanOf(directory + "/base"), lora, 1);
    ASSERT_TRUE(trainable.ok()) << trainable.status();
    EXPECT_FALSE((*trainable)->notes().empty());
    EXPECT_EQ((*trainable)->targets().lora.size(), name == "phi3" ? 8 : 14);
    {
      const at::NoGradGuard no_grad;
      (*trainable)->flat_parameters().add_(0.01);
    }
    arguments += SavedForPeft(trainable->get(), ReadAll(directory + "/0.safetensors"),
                              directory + "/base", name + "-seed");
  }
  ExpectEqualInPeft(names, arguments);
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
