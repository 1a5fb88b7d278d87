// SPDX-License-Identifier: Apache-2.0
// The gate of the parity tests: our error against fp64 is at most 1.5 times HF's own at the same
// precision, for every tensor; and the table that every test adds its line to, printed at the end.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "workers/adapter/trainable.h"
#include "workers/model/packed_batch.h"

namespace anamnesis::golden {

using NamedTensors = std::map<std::string, at::Tensor>;

constexpr double kFp16Scale = 4;  // of the loss, as make_golden.py's

// All tensors of a safetensors file.
NamedTensors ReadAllTensors(const std::string& path);

// The golden file's documents in one packed row.
model::PackedBatch BatchOfGolden(const NamedTensors& golden);

contract::ModelPlan PlanOfDirectory(const std::string& directory);

// Logits, losses and gradients by the golden file's names, without the dtype.
NamedTensors RunOnBatch(adapter::TrainableModel* trainable, const model::PackedBatch& batch);

double LargestDifference(const at::Tensor& value, const at::Tensor& truth);

// Errors of one tensor over several batches, relative to the tensor's largest value.
struct RelativeError {
  void Add(const at::Tensor& value, const at::Tensor& truth);
  double Rms() const;

  double largest = 0;
  double sum_of_squares = 0;
  double count = 0;
};

// A case of goldens: a folder with base/, adapter/ and a file for each batch of documents. The
// test's parameter is its name.
class ParityCase : public testing::TestWithParam<std::string> {
 protected:
  // Of the folder `directory`/<case>; `quantisation` as in ModelPlan.
  void OpenCase(const std::string& directory, const std::string& quantisation);
  std::unique_ptr<adapter::TrainableModel> Open(at::ScalarType dtype) const;
  // In fp64 every tensor equals the first batch's golden value to 1e-10.
  void ExpectEqualInFp64() const;
  // Checks the gate for one precision, by its `label` in the golden files: for every tensor the
  // root mean square of its errors over all elements and batches, ours against HF's; and, as the
  // mean over the tensors, the largest error. (One tensor's largest error is a single draw of
  // rounding noise: HF's own varies by a factor of two between batches.) Adds a line to the table.
  void ExpectWithinGate(at::ScalarType dtype, const std::string& label,
                        const std::string& row_name) const;

  std::string directory_;
  std::string quantisation_;
  std::vector<NamedTensors> goldens_;  // several batches of documents

 private:
  void ExpectLossWithinGate(const std::pair<RelativeError, RelativeError>& errors,
                            const std::string& label) const;
};

}  // namespace anamnesis::golden
