// SPDX-License-Identifier: Apache-2.0
// A causal model with `score` on its last real token (HF's *ForSequenceClassification), fine-tuned
// by LoRA, on rows of documents. Thread-compatible.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "workers/adapter/trainable.h"
#include "workers/encoder/class_loss.h"
#include "workers/model/linear.h"
#include "workers/train/adapter_layout.h"
#include "workers/train/learner.h"

namespace anamnesis::train {

class DecoderClassifier final : public Learner {
 public:
  static StatusOr<std::unique_ptr<Learner>> Open(const contract::TrainPlan& plan,
                                                 at::Device device);
  // kInvalidArgument: a loss that does not fit the model's classes.
  static StatusOr<std::unique_ptr<DecoderClassifier>> Create(
      std::unique_ptr<adapter::TrainableModel> model, const encoder::ClassLossOptions& loss);

  LossSum Loss(std::span<const stream::PackedRow> rows,
               const adapter::DropoutContext& dropout) override;
  bool is_weighted() const override { return !loss_.class_weights.empty(); }
  int num_classes() const override { return static_cast<int>(score_.out_features()); }
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
  DecoderClassifier() = default;
  // [B, C] in the model's dtype, on the graph.
  at::Tensor Logits(std::span<const stream::PackedRow> rows,
                    const adapter::DropoutContext& dropout);

  std::unique_ptr<adapter::TrainableModel> model_;
  encoder::ClassLossOptions loss_;
  model::Linear score_;  // of the model's master
};

}  // namespace anamnesis::train
