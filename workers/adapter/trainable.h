// SPDX-License-Identifier: Apache-2.0
// TrainableModel: a frozen base model with its adapter, behind what a trainer needs: a loss, an
// ordered list of fp32 parameters and their gradients in one flat buffer.
//
//   auto model = TrainableModel::Load(plan.model, plan.lora, seed, at::kCPU);
//   model->ZeroGradient();                                   // per lane
//   model->LossSum(batch, dropout).backward(1/N);            // per micro-batch, adds up
//   lane_gradient.copy_(model->flat_gradient());
//
// Thread-compatible. Torch's exceptions fly; Load, SaveAdapter and LoadAdapter return statuses.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "workers/adapter/dropout.h"
#include "workers/adapter/lora.h"
#include "workers/adapter/targets.h"
#include "workers/contract/plan.h"
#include "workers/model/decoder.h"
#include "workers/model/packed_batch.h"

namespace anamnesis::adapter {

// One trainable tensor. `name` is its key in adapter_model.safetensors.
struct NamedParameter {
  std::string name;
  at::Tensor master;   // fp32 leaf; a view into flat_parameters()
  int64_t offset = 0;  // of its first element in the flat buffers
};

class TrainableModel {
 public:
  // Loads the base in plan.dtype and builds a fresh adapter: A kaiming-uniform(a = √5) by Philox
  // keyed by (seed, parameter name), B zero, saved modules copies of the base's.
  static StatusOr<std::unique_ptr<TrainableModel>> Load(const contract::ModelPlan& model,
                                                        const contract::LoraPlan& lora,
                                                        uint64_t seed,
                                                        at::Device device = at::kCPU);
  // The same with the dtype given (fp64 for parity tests; masters are fp64 then).
  static StatusOr<std::unique_ptr<TrainableModel>> Load(const contract::ModelPlan& model,
                                                        const contract::LoraPlan& lora,
                                                        uint64_t seed, at::Device device,
                                                        at::ScalarType dtype);

  // A classifier of `num_labels` classes on the same decoder, as HF's *ForSequenceClassification:
  // `score` [C, D] takes the place of lm_head and is trained whole, at first normal(0,
  // initializer_range) by Philox keyed likewise. kUnimplemented: a text model inside a multimodal
  // one.
  static StatusOr<std::unique_ptr<TrainableModel>> LoadClassifier(
      const contract::ModelPlan& model, const contract::LoraPlan& lora, int64_t num_labels,
      uint64_t seed, at::Device device = at::kCPU, std::optional<at::ScalarType> dtype = {});

  // Opens an adapter directory (ours or PEFT's) as its adapter_config.json describes it: of a
  // language model, or of a classifier with the classes that its `score` has.
  static StatusOr<std::unique_ptr<TrainableModel>> Open(const contract::ModelPlan& model,
                                                        const std::string& adapter_directory,
                                                        at::Device device = at::kCPU,
                                                        at::ScalarType dtype = at::kFloat);

  // Sum of the label losses (not divided), 0-dim fp64 on the graph. Under at::NoGradGuard no
  // gradient is made (evaluation). `dropout.rows` must describe the batch's rows when training.
  at::Tensor LossSum(const model::PackedBatch& batch, const DropoutContext& dropout);
  // Logits of every position [T, V], without dropout or graph.
  at::Tensor Logits(const model::PackedBatch& batch);
  // log p of every label of the batch, fp64 [N], without dropout or graph. The logits of all labels
  // exist at once.
  at::Tensor LabelLogProbs(const model::PackedBatch& batch);
  // Hidden states of the last id of every row, [B, D] in the model's dtype, on the graph: what a
  // classifier's `score` reads.
  at::Tensor LastHidden(const model::PackedBatch& batch, const DropoutContext& dropout);
  // Of a classifier: the master [C, D].
  const at::Tensor& score() const { return score_; }

  // Order: embed_tokens if saved, then layer by layer the linear layers in model order (q k v o
  // gate up down) with A before B, then lm_head if saved (weight, then bias), then `score`. The
  // same for every seed and rank.
  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  // [P] fp32: all masters, end to end; update it in place under at::NoGradGuard.
  const at::Tensor& flat_parameters() const { return flat_parameters_; }
  // [P] fp32: gradients in the same layout; backward() adds to it.
  const at::Tensor& flat_gradient() const { return flat_gradient_; }
  void ZeroGradient() { flat_gradient_.zero_(); }

  const model::Decoder& base() const { return *base_; }
  model::Decoder& base() { return *base_; }
  const TargetPlan& targets() const { return targets_; }
  // What differs from the LoRA plan as given, for the run's log (FitPlan).
  const std::vector<std::string>& notes() const { return notes_; }

  // adapter_config.json, adapter_model.safetensors and README.md into an existing directory.
  Status SaveAdapter(const std::string& directory) const;
  // Replaces every parameter by those of a PEFT directory whose configuration must ask for the same
  // adapter. On an error nothing is changed.
  Status LoadAdapter(const std::string& directory);
  // Starts from the adapter of a directory instead of a fresh one (CheckStartsFrom): what it holds
  // replaces the parameters, the others stay fresh. A classifier's score is taken too, where it is
  // there with as many classes. On an error nothing is changed.
  Status StartFrom(const std::string& directory);

 private:
  TrainableModel() = default;
  static StatusOr<std::unique_ptr<TrainableModel>> LoadAs(const contract::ModelPlan& model,
                                                          const contract::LoraPlan& lora,
                                                          int64_t num_labels, uint64_t seed,
                                                          at::Device device, at::ScalarType dtype);
  bool is_classifier() const { return num_labels_ > 0; }
  std::vector<std::string> LinearNames() const;
  FittedPlan Fitted(const contract::LoraPlan& lora) const;
  StatusOr<TargetPlan> PlanFor(const contract::LoraPlan& lora) const;
  void Build(uint64_t seed);
  // Makes parameters_ of these names and shapes, all zero, as views into the flat buffers.
  void AllocateParameters(const std::vector<std::pair<std::string, std::vector<int64_t>>>& wanted);

  contract::ModelPlan model_plan_;
  contract::LoraPlan lora_plan_;  // fitted to the model
  std::vector<std::string> notes_;
  int64_t num_labels_ = 0;  // of a classifier
  at::Tensor score_;
  std::unique_ptr<model::Decoder> base_;
  TargetPlan targets_;
  DropoutContext context_;  // of the current forward pass; installed operations borrow it
  at::Tensor flat_parameters_;
  at::Tensor flat_gradient_;
  std::vector<NamedParameter> parameters_;
};

}  // namespace anamnesis::adapter
