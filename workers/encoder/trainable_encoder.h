// SPDX-License-Identifier: Apache-2.0
// TrainableEncoder: a classifier that is fine-tuned, whole or by LoRA, behind what a trainer needs:
// a loss, an ordered list of fp32 parameters and their gradients in one flat buffer.
//
//   auto model = TrainableEncoder::Load(plan.model, {.num_labels = 2, .seed = 42});
//   model->ZeroGradient();                                      // per lane
//   sum = model->LossSum(batch, dropout);                       // per micro-batch, adds up
//   (sum.loss / total_weight).backward();                       // Σ sum.weight of the global batch
//
// Thread-compatible. Torch's exceptions fly; Load, Save and Restore return statuses.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "workers/adapter/dropout.h"
#include "workers/adapter/targets.h"
#include "workers/contract/plan.h"
#include "workers/encoder/batch.h"
#include "workers/encoder/class_loss.h"
#include "workers/encoder/encoder.h"
#include "workers/encoder/tensors.h"

namespace anamnesis::encoder {

// One trained tensor. `name` is its key in the saved file.
struct EncoderParameter {
  std::string name;
  at::Tensor master;    // fp32 leaf; a view into flat_parameters()
  int64_t offset = 0;   // of its first element in the flat buffers
  bool decays = false;  // weight decay applies (tensors.h, Decays)
};

struct TrainableOptions {
  int64_t num_labels = 0;  // 0: as config.json says, and the head must be in the checkpoint
  std::vector<std::string> label_names;    // empty: those of the config, or LABEL_0, …
  uint64_t seed = 42;                      // of a new head and of LoRA's A
  std::optional<contract::LoraPlan> lora;  // absent: every parameter is trained
  ClassLossOptions loss;
  std::optional<at::ScalarType> dtype;  // instead of the plan's; kDouble has fp64 masters
};

class TrainableEncoder {
 public:
  // Reads model.directory; model.dtype is the compute dtype. Errors of config.h, tensors.h,
  // weights_in.h, adapter/targets.h.
  static StatusOr<std::unique_ptr<TrainableEncoder>> Load(const contract::ModelPlan& model,
                                                          const TrainableOptions& options,
                                                          at::Device device = at::kCPU);

  // Sums over the batch's documents, each of which has a label. Under at::NoGradGuard no gradient
  // is made. `dropout.rows` has one row for each document when training.
  ClassLossSum LossSum(const EncoderBatch& batch, const adapter::DropoutContext& dropout);
  // [B, C] in the compute dtype, without dropout or graph.
  at::Tensor Logits(const EncoderBatch& batch);
  // Hidden states of every token, [T, D], without dropout or graph.
  at::Tensor Hidden(const EncoderBatch& batch);

  // Whole: every tensor in the order of EncoderTensors. LoRA: A and B layer by layer, then the
  // saved modules' tensors. The same for every seed and rank.
  const std::vector<EncoderParameter>& parameters() const { return parameters_; }
  const at::Tensor& flat_parameters() const { return flat_parameters_; }  // [P] wide
  const at::Tensor& flat_gradient() const { return flat_gradient_; }      // [P] wide
  void ZeroGradient() { flat_gradient_.zero_(); }

  const EncoderConfig& config() const { return encoder_->config(); }
  Encoder& encoder() { return *encoder_; }
  // What was new and what was not used of the checkpoint, in one line; empty: all fitted.
  const std::string& note() const { return note_; }

  // Whole: config.json and model.safetensors. LoRA: adapter_config.json (SEQ_CLS),
  // adapter_model.safetensors and README.md. Into an existing directory.
  Status Save(const std::string& directory) const;
  // Replaces every parameter by those of a directory that Save made. On an error nothing changes.
  Status Restore(const std::string& directory);

 private:
  TrainableEncoder() = default;
  using Wanted = std::vector<std::pair<std::string, std::vector<int64_t>>>;
  void AllocateParameters(const Wanted& wanted, const at::TensorOptions& options);
  Status BuildWhole(const EncoderConfig& config, at::Device device);
  Status BuildLora(const EncoderConfig& config, at::Device device);
  void InstallLora(const adapter::TargetPlan& targets);

  contract::ModelPlan model_plan_;
  TrainableOptions options_;
  at::ScalarType compute_ = at::kFloat;
  std::unique_ptr<Encoder> encoder_;
  void SetDropout(const adapter::DropoutContext& dropout);
  // Of the current forward pass; LoRA operations borrow them: of tokens, and in the head of
  // documents.
  adapter::DropoutContext context_, head_context_;
  at::Tensor flat_parameters_;
  at::Tensor flat_gradient_;
  std::vector<EncoderParameter> parameters_;
  std::string note_;
};

}  // namespace anamnesis::encoder
