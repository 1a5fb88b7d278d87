// SPDX-License-Identifier: Apache-2.0
// Learner: what a Trainer trains, whatever its task: rows in, the sum of their losses out, one flat
// buffer of parameters and one of gradients, and the files of a checkpoint. Torch's exceptions fly
// but from Save and Load. Thread-compatible.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/adapter/dropout.h"
#include "workers/contract/plan.h"
#include "workers/stream/batch.h"
#include "workers/train/optimizer.h"

namespace anamnesis::train {

// The loss of a step is Σ loss / Σ weight over the rows of its global batch.
struct LossSum {
  at::Tensor loss;    // 0-dim fp64, on the graph
  double weight = 0;  // labels; with class weights the sum of theirs
};

class Learner {
 public:
  virtual ~Learner() = default;

  // `dropout.rows` describes the rows when training; without it there is no dropout. Under
  // at::NoGradGuard no graph is made.
  virtual LossSum Loss(std::span<const stream::PackedRow> rows,
                       const adapter::DropoutContext& dropout) = 0;
  // Whether Σ weight differs from the number of labels, which is known before the rows are read.
  virtual bool is_weighted() const { return false; }

  // Of classifiers: C, and the logits of rows, fp64 [B, C] on the CPU, without dropout or graph.
  virtual int num_classes() const { return 0; }
  virtual at::Tensor Scores(std::span<const stream::PackedRow> rows);

  // The parameters' places in the flat buffers, in a fixed order.
  virtual std::vector<ParameterSpan> Layout() const = 0;
  virtual const at::Tensor& flat_parameters() const = 0;  // [P] fp32
  virtual const at::Tensor& flat_gradient() const = 0;    // [P] fp32; a backward pass adds to it
  void ZeroGradient() { flat_gradient().zero_(); }

  // The model's files, into and out of an existing directory. On an error of Load nothing is
  // changed.
  virtual Status Save(const std::string& directory) const = 0;
  virtual Status Load(const std::string& directory) = 0;
  // Of Save's files the one whose SHA-256 stands for the model.
  virtual std::string main_file() const = 0;
};

// The learner of the plan's task, fresh. kUnimplemented names a task that is not built yet.
StatusOr<std::unique_ptr<Learner>> OpenLearner(const contract::TrainPlan& plan, at::Device device);

}  // namespace anamnesis::train
