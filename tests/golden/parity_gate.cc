// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/parity_gate.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "common/io/file.h"
#include "workers/adapter/dropout.h"
#include "workers/model/head_loss.h"
#include "workers/model/weights.h"

namespace anamnesis::golden {
namespace {

// The loss of each label by itself.
at::Tensor LabelLosses(adapter::TrainableModel* trainable, const model::PackedBatch& batch) {
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

// One line of the table: the largest errors relative to each tensor's largest value, ours and HF's.
struct TableRow {
  std::string name;
  std::map<std::string, std::pair<double, double>> largest;  // by logits, loss, gradients
  double worst_ratio = 0;                                    // of the root mean squares
  std::string worst;                                         // the tensor that has it
};

class ParityTable : public testing::Environment {
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

const testing::Environment* const kParityTable = testing::AddGlobalTestEnvironment(new ParityTable);

}  // namespace

NamedTensors ReadAllTensors(const std::string& path) {
  NamedTensors out;
  auto file = model::SafetensorsFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return out;
  for (const model::StoredTensor& stored : file->tensors()) {
    out[stored.name] = model::ReadTensor(*file, stored).value();
  }
  return out;
}

model::PackedBatch BatchOfGolden(const NamedTensors& golden) {
  const at::Tensor ids = golden.at("ids").to(at::kInt), lengths = golden.at("lengths").to(at::kInt);
  const model::RowView row{
      {ids.const_data_ptr<int32_t>(), static_cast<size_t>(ids.numel())},
      {lengths.const_data_ptr<int32_t>(), static_cast<size_t>(lengths.numel())}};
  return model::PackBatch({{row}});
}

contract::ModelPlan PlanOfDirectory(const std::string& directory) {
  contract::ModelPlan plan;
  plan.name = directory;
  plan.directory = directory;
  return plan;
}

NamedTensors RunOnBatch(adapter::TrainableModel* trainable, const model::PackedBatch& batch) {
  NamedTensors out;
  out["logits"] = trainable->Logits(batch);
  out["losses"] = LabelLosses(trainable, batch);
  trainable->ZeroGradient();
  const at::Tensor loss = trainable->LossSum(batch, adapter::DropoutContext());
  const double scale = trainable->base().dtype() == at::kHalf ? kFp16Scale : 1.0;
  loss.backward(at::full_like(loss, scale));
  out["loss"] = loss.detach().reshape({1});
  for (const adapter::NamedParameter& parameter : trainable->parameters()) {
    out["grad/" + parameter.name] = parameter.master.grad() / scale;
  }
  return out;
}

double LargestDifference(const at::Tensor& value, const at::Tensor& truth) {
  return (value.to(at::kDouble) - truth).abs().max().item<double>();
}

void RelativeError::Add(const at::Tensor& value, const at::Tensor& truth) {
  const double unit = truth.abs().max().item<double>();
  const at::Tensor error = (value.to(at::kDouble) - truth) / unit;
  largest = std::max(largest, error.abs().max().item<double>());
  sum_of_squares += error.square().sum().item<double>();
  count += static_cast<double>(error.numel());
}

double RelativeError::Rms() const { return std::sqrt(sum_of_squares / count); }

void ParityCase::OpenCase(const std::string& directory, const std::string& quantisation) {
  ASSERT_FALSE(directory.empty());
  directory_ = directory + "/" + GetParam();
  quantisation_ = quantisation;
  for (int batch = 0; PathExists(Cat(directory_, "/", batch, ".safetensors")); ++batch) {
    goldens_.push_back(ReadAllTensors(Cat(directory_, "/", batch, ".safetensors")));
  }
  ASSERT_FALSE(goldens_.empty());
}

std::unique_ptr<adapter::TrainableModel> ParityCase::Open(at::ScalarType dtype) const {
  contract::ModelPlan plan = PlanOfDirectory(directory_ + "/base");
  plan.quantisation = quantisation_;
  auto opened = adapter::TrainableModel::Open(plan, directory_ + "/adapter", at::kCPU, dtype);
  EXPECT_TRUE(opened.ok()) << opened.status();
  return opened.ok() ? std::move(*opened) : nullptr;
}

void ParityCase::ExpectEqualInFp64() const {
  const auto trainable = Open(at::kDouble);
  ASSERT_NE(trainable, nullptr);
  const NamedTensors& golden = goldens_.front();
  const NamedTensors ours = RunOnBatch(trainable.get(), BatchOfGolden(golden));
  double worst = 0;
  size_t num_golden = 0;
  for (const auto& [name, value] : golden) num_golden += name.starts_with("f64/") ? 1 : 0;
  EXPECT_EQ(ours.size(), num_golden);
  for (const auto& [name, value] : ours) {
    ASSERT_TRUE(golden.contains("f64/" + name)) << name;
    const double error = LargestDifference(value, golden.at("f64/" + name));
    worst = std::max(worst, error);
    EXPECT_LE(error, 1e-10) << name;
  }
  std::cout << GetParam() << " f64: largest difference " << worst << "\n";
}

void ParityCase::ExpectWithinGate(at::ScalarType dtype, const std::string& label,
                                  const std::string& row_name) const {
  const auto trainable = Open(dtype);
  ASSERT_NE(trainable, nullptr);
  std::map<std::string, std::pair<RelativeError, RelativeError>> errors;  // ours and HF's, by name
  for (const NamedTensors& golden : goldens_) {
    for (const auto& [name, value] : RunOnBatch(trainable.get(), BatchOfGolden(golden))) {
      ASSERT_TRUE(golden.contains(label + "/" + name)) << name;
      const at::Tensor truth = golden.at("f64/" + name);
      errors[name].first.Add(value, truth);
      errors[name].second.Add(golden.at(label + "/" + name), truth);
    }
  }
  TableRow row{row_name, {}, 0, ""};
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
  ParityTable::Rows().push_back(row);
}

// The loss of a batch is one number, and HF's error of it a single draw: it may be near 0. Its
// scale is that of HF's errors of the labels, taken as independent, and the rounding of fp32.
void ParityCase::ExpectLossWithinGate(const std::pair<RelativeError, RelativeError>& errors,
                                      const std::string& label) const {
  double scale = 2e-7;
  for (const NamedTensors& golden : goldens_) {
    const at::Tensor truth = golden.at("f64/losses");
    const double spread =
        (golden.at(label + "/losses").to(at::kDouble) - truth).norm().item<double>();
    scale = std::max(scale, spread / truth.sum().item<double>());
  }
  EXPECT_LE(errors.first.Rms(), std::max(1.5 * errors.second.Rms(), 2.0 * scale))
      << "loss; scale " << scale;
}

}  // namespace anamnesis::golden
