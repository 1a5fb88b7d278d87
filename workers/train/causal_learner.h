// SPDX-License-Identifier: Apache-2.0
// A causal language model with an adapter, on packed rows. Thread-compatible.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "workers/adapter/trainable.h"
#include "workers/train/learner.h"

namespace anamnesis::train {

class CausalLearner final : public Learner {
 public:
  static StatusOr<std::unique_ptr<Learner>> Open(const contract::TrainPlan& plan,
                                                 at::Device device);
  explicit CausalLearner(std::unique_ptr<adapter::TrainableModel> model)
      : model_(std::move(model)) {}

  LossSum Loss(std::span<const stream::PackedRow> rows,
               const adapter::DropoutContext& dropout) override;
  std::vector<ParameterSpan> Layout() const override;
  const at::Tensor& flat_parameters() const override { return model_->flat_parameters(); }
  const at::Tensor& flat_gradient() const override { return model_->flat_gradient(); }
  Status Save(const std::string& directory) const override;
  Status Load(const std::string& directory) override;
  std::string main_file() const override { return "adapter_model.safetensors"; }

 private:
  std::unique_ptr<adapter::TrainableModel> model_;
};

}  // namespace anamnesis::train
