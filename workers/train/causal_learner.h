// SPDX-License-Identifier: Apache-2.0
// A causal language model with an adapter: on packed rows, or on prompts with the answer of each
// class. Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "workers/adapter/trainable.h"
#include "workers/model/packed_batch.h"
#include "workers/train/adapter_layout.h"
#include "workers/train/learner.h"

namespace anamnesis::train {

class CausalLearner final : public Learner {
 public:
  static StatusOr<std::unique_ptr<Learner>> Open(const contract::TrainPlan& plan,
                                                 at::Device device);
  // `answers`: of prompts, the ids that follow them for each class (stream/prompt.h), [C].
  explicit CausalLearner(std::unique_ptr<adapter::TrainableModel> model,
                         std::vector<std::vector<int32_t>> answers = {})
      : model_(std::move(model)), answers_(std::move(answers)) {}

  LossSum Loss(std::span<const stream::PackedRow> rows,
               const adapter::DropoutContext& dropout) override;
  // Answers are of several lengths.
  bool is_weighted() const override { return !answers_.empty(); }
  int num_classes() const override { return static_cast<int>(answers_.size()); }
  // log p(answer | prompt) of each class: softmax over them is the probability of a class among the
  // answers.
  at::Tensor Scores(std::span<const stream::PackedRow> rows) override;
  std::vector<ParameterSpan> Layout() const override { return AdapterLayout(*model_); }
  const at::Tensor& flat_parameters() const override { return model_->flat_parameters(); }
  const at::Tensor& flat_gradient() const override { return model_->flat_gradient(); }
  Status Save(const std::string& directory) const override {
    return model_->SaveAdapter(directory);
  }
  Status Load(const std::string& directory) override { return model_->LoadAdapter(directory); }
  std::string main_file() const override { return "adapter_model.safetensors"; }

 private:
  std::unique_ptr<adapter::TrainableModel> model_;
  std::vector<std::vector<int32_t>> answers_;
};

// The rows as a decoder takes them.
std::vector<model::RowView> ViewsOf(std::span<const stream::PackedRow> rows);

}  // namespace anamnesis::train
