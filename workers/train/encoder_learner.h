// SPDX-License-Identifier: Apache-2.0
// A BERT-style classifier, fine-tuned whole or by LoRA, on rows of documents. Thread-compatible.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "workers/encoder/trainable_encoder.h"
#include "workers/train/learner.h"

namespace anamnesis::train {

class EncoderLearner final : public Learner {
 public:
  static StatusOr<std::unique_ptr<Learner>> Open(const contract::TrainPlan& plan,
                                                 at::Device device);
  // A trained one, to score with.
  static std::unique_ptr<Learner> Wrap(std::unique_ptr<encoder::TrainableEncoder> model);

  LossSum Loss(std::span<const stream::PackedRow> rows,
               const adapter::DropoutContext& dropout) override;
  bool is_weighted() const override { return is_weighted_; }
  int num_classes() const override { return static_cast<int>(model_->config().num_labels); }
  at::Tensor Scores(std::span<const stream::PackedRow> rows) override;
  std::vector<ParameterSpan> Layout() const override;
  const at::Tensor& flat_parameters() const override { return model_->flat_parameters(); }
  const at::Tensor& flat_gradient() const override { return model_->flat_gradient(); }
  Status Save(const std::string& directory) const override { return model_->Save(directory); }
  Status Load(const std::string& directory) override { return model_->Restore(directory); }
  std::string main_file() const override {
    return has_adapter_ ? "adapter_model.safetensors" : "model.safetensors";
  }

 private:
  EncoderLearner() = default;
  encoder::EncoderBatch BatchOf(std::span<const stream::PackedRow> rows) const;

  std::unique_ptr<encoder::TrainableEncoder> model_;
  bool is_weighted_ = false;
  bool has_adapter_ = false;
};

}  // namespace anamnesis::train
