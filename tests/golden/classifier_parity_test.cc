// SPDX-License-Identifier: Apache-2.0
// Classifiers on causal models against HF's *ForSequenceClassification with a PEFT adapter, in fp64
// and fp32 (make_golden.py): logits, loss, and the gradient of every trained tensor.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/golden/oracle.h"
#include "workers/adapter/trainable.h"
#include "workers/model/weights.h"
#include "workers/train/decoder_classifier.h"

namespace anamnesis::train {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

const std::vector<std::string> kClassifiers = {"plain",  "mistral", "phi",   "phi3", "gemma",
                                               "gemma2", "gemma3",  "qwen2", "qwen3"};

class ClassifierParity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    at::set_num_threads(1);
    directory_ = golden::GoldenDirectory() + "/" + GetParam();
    const auto file = model::SafetensorsFile::Open(directory_ + "/classifier.safetensors");
    ASSERT_TRUE(file.ok()) << file.status();
    for (const model::StoredTensor& stored : file->tensors()) {
      golden_[stored.name] = model::ReadTensor(*file, stored).value();
    }
  }

  // By the golden file's names, without the dtype.
  Tensors Run(at::ScalarType dtype) {
    contract::ModelPlan plan;
    plan.name = plan.directory = directory_ + "/base";
    auto opened = adapter::TrainableModel::Open(plan, directory_ + "/classifier", at::kCPU, dtype);
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (!opened.ok()) return {};
    adapter::TrainableModel& model = **opened;
    const auto classifier = DecoderClassifier::Create(std::move(*opened), {}).value();
    const std::vector<stream::PackedRow> rows = Rows();
    const LossSum sum = classifier->Loss(rows, adapter::DropoutContext());
    sum.loss.backward();
    EXPECT_EQ(sum.weight, static_cast<double>(rows.size()));
    Tensors out = {{"logits", classifier->Scores(rows)}, {"loss", sum.loss.detach().reshape({1})}};
    for (const adapter::NamedParameter& parameter : model.parameters()) {
      out["grad/" + parameter.name] = parameter.master.grad().clone();
    }
    return out;
  }

  std::vector<stream::PackedRow> Rows() const {
    std::vector<stream::PackedRow> rows;
    int64_t begin = 0;
    for (int64_t i = 0; i < golden_.at("lengths").numel(); ++i) {
      stream::PackedRow& row = rows.emplace_back();
      const int64_t length = golden_.at("lengths")[i].item<int64_t>();
      for (int64_t k = 0; k < length; ++k) {
        row.ids.push_back(golden_.at("ids")[begin + k].item<int32_t>());
      }
      row.segment_lengths = {static_cast<int32_t>(length)};
      row.label = golden_.at("classes")[i].item<int32_t>();
      begin += length;
    }
    return rows;
  }

  // The norm of the difference, relative to that of the truth.
  double Error(const at::Tensor& value, const std::string& name) const {
    const at::Tensor truth = golden_.at("f64/" + name);
    return ((value.to(at::kDouble) - truth).norm() / truth.norm()).item<double>();
  }

  std::string directory_;
  Tensors golden_;
};

TEST_P(ClassifierParity, InFp64EqualsHfAndPeft) {
  const Tensors ours = Run(at::kDouble);
  size_t num_golden = 0;
  for (const auto& [name, value] : golden_) num_golden += name.starts_with("f64/") ? 1 : 0;
  EXPECT_EQ(ours.size(), num_golden);
  for (const auto& [name, value] : ours) {
    ASSERT_TRUE(golden_.contains("f64/" + name)) << name;
    EXPECT_LE(Error(value, name), 1e-11) << name;
  }
}

TEST_P(ClassifierParity, InFp32ErrsAboutAsHf) {
  double ours = 0, theirs = 0;  // mean over the tensors
  for (const auto& [name, value] : Run(at::kFloat)) {
    ours += Error(value, name);
    theirs += Error(golden_.at("f32/" + name), name);
  }
  EXPECT_LE(ours, 1.5 * theirs);
}

INSTANTIATE_TEST_SUITE_P(Families, ClassifierParity, testing::ValuesIn(kClassifiers),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace anamnesis::train
