// SPDX-License-Identifier: Apache-2.0
// AdamW with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2) and bias correction,
// operation for operation as torch.optim.AdamW (single tensor), and the gradient's norm and
// clipping as torch.nn.utils.clip_grad_norm_. Flat fp32 buffers on the host, plain elementwise
// code: no thread count or batching changes a bit. docs/formats/optimizer.md. Thread-compatible.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::train {

// A run of the flat buffer: one parameter.
struct ParameterSpan {
  std::string name;
  int64_t offset = 0;
  int64_t size = 0;
  bool weight_decay = true;
};

// HF Trainer's rule (get_decay_parameter_names): everything decays except biases and parameters of
// norm layers.
bool DecaysWeight(const std::string& parameter_name);

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
};

class AdamW {
 public:
  // `layout` tiles the buffers.
  AdamW(const AdamWOptions& options, std::vector<ParameterSpan> layout);

  // One update. `parameters` and `gradient` have the layout's size.
  void Step(double learning_rate, std::span<float> parameters, std::span<const float> gradient);

  const std::vector<ParameterSpan>& layout() const { return layout_; }
  int64_t steps() const { return steps_; }  // updates done
  std::vector<float>& exp_avg() { return exp_avg_; }
  std::vector<float>& exp_avg_sq() { return exp_avg_sq_; }
  const std::vector<float>& exp_avg() const { return exp_avg_; }
  const std::vector<float>& exp_avg_sq() const { return exp_avg_sq_; }
  void set_steps(int64_t steps) { steps_ = steps; }  // of a checkpoint

 private:
  AdamWOptions options_;
  std::vector<ParameterSpan> layout_;
  int64_t steps_ = 0;
  std::vector<float> exp_avg_;
  std::vector<float> exp_avg_sq_;
};

// Euclidean norm: squares are summed in double over chunks of 4096, the chunk sums in order. Not
// finite when an element is not.
double GradientNorm(std::span<const float> gradient);

// Multiplies by min(1, max_norm / (norm + 1e-6)). max_norm 0: no clipping.
void ClipGradient(double norm, double max_norm, std::span<float> gradient);

}  // namespace anamnesis::train
