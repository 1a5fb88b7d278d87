// SPDX-License-Identifier: Apache-2.0
#include "workers/train/step.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "workers/collective/tree.h"
#include "workers/train/lane_losses.h"
#include "workers/train/status_from_torch.h"

namespace anamnesis::train {
namespace {

std::span<float> Flat(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

Status NotFinite(const char* what, double value, int64_t step, const LossScaler* scaler) {
  if (scaler != nullptr) {
    return InvalidArgument("step ", step, ": the ", what, " is ", value,
                           " in float16, with the loss scale down to ", scaler->scale,
                           "; nothing was updated. The model's own numbers are beyond float16: "
                           "train with training.bf16, or in float32, from the start");
  }
  return InvalidArgument("step ", step, ": the ", what, " is ", value,
                         "; nothing was updated. Lower training.learning_rate or "
                         "training.max_grad_norm, or train in fp32, and resume from the last "
                         "checkpoint");
}

}  // namespace

StepRunner::StepRunner(const StepOptions& options, Learner& learner, collective::Group& group,
                       AdamW& optimizer, LossScaler* scaler)
    : options_(options),
      learner_(learner),
      group_(group),
      optimizer_(optimizer),
      scaler_(scaler),
      gradients_(group, learner.flat_gradient(), options.num_lanes) {}

StatusOr<StepResult> StepRunner::Run(const StepInput& input) {
  StepResult result;
  ANAM_RETURN_IF_ERROR(StatusFromTorch([&] { return RunThrowing(input, &result); }));
  return result;
}

Status StepRunner::RunThrowing(const StepInput& input, StepResult* result) {
  std::vector<double> losses, weights;
  for (int lane = lanes().begin; lane < lanes().end; ++lane) {
    learner_.ZeroGradient();
    ANAM_ASSIGN_OR_RETURN(const LaneResult sums, RunLane(lane, input, &result->tokens));
    losses.push_back(sums.loss);
    weights.push_back(sums.weight);
    const c10::NoGradGuard no_grad;
    gradients_.Push(learner_.flat_gradient());
  }
  const c10::NoGradGuard no_grad;
  result->stop_requested = input.stop_requested;
  const at::Device device = learner_.flat_parameters().device();
  const double loss_sum =
      SumLaneLosses(group_, options_.num_lanes, losses, device, &result->stop_requested);
  const at::Tensor gradient = gradients_.Sum(options_.exact);
  host_gradient_ = gradient.device().is_cpu() ? gradient : gradient.to(at::kCPU);
  const auto num_labels = static_cast<double>(input.num_labels);
  double weight = num_labels;
  if (learner_.is_weighted()) {  // the lanes divided by the number of labels: weights were unknown
    bool unused = false;
    weight = SumLaneLosses(group_, options_.num_lanes, weights, device, &unused);
    host_gradient_ = host_gradient_ * (num_labels / weight);
  }
  result->loss = loss_sum / weight;
  if (scaler_ != nullptr) host_gradient_ = host_gradient_.mul_(1.0 / scale());
  result->grad_norm = GradientNorm(Flat(host_gradient_));
  ANAM_ASSIGN_OR_RETURN(const bool finite, CheckFinite(input, *result));
  if (scaler_ != nullptr) scaler_->Update(finite);
  result->skipped = !finite;
  if (!finite) return absl::OkStatus();
  ClipGradient(result->grad_norm, options_.max_grad_norm, Flat(host_gradient_));
  Update(input, host_gradient_);
  return absl::OkStatus();
}

StatusOr<bool> StepRunner::CheckFinite(const StepInput& input, const StepResult& result) const {
  const bool is_loss = !std::isfinite(result.loss);
  if (!is_loss && std::isfinite(result.grad_norm)) return true;
  if (scaler_ != nullptr && !scaler_->is_exhausted()) return false;
  return NotFinite(is_loss ? "loss" : "gradient norm", is_loss ? result.loss : result.grad_norm,
                   input.step, scaler_);
}

StatusOr<StepRunner::LaneResult> StepRunner::RunLane(int lane, const StepInput& input,
                                                     int64_t* tokens) {
  LaneResult sums;
  const std::vector<int64_t> rows =
      collective::RowsOfLane(lane, options_.num_lanes, input.num_rows);
  for (size_t begin = 0; begin < rows.size(); begin += options_.micro_batch_rows) {
    const size_t end =
        std::min(rows.size(), begin + static_cast<size_t>(options_.micro_batch_rows));
    std::vector<stream::PackedRow> batch;
    adapter::DropoutContext dropout{
        .seed = options_.seed, .step = input.step, .rows = {}, .training = true};
    batch.reserve(end - begin);
    for (size_t i = begin; i < end; ++i) {
      ANAM_ASSIGN_OR_RETURN(stream::PackedRow row, input.next_row());
      *tokens += row.num_tokens;
      dropout.rows.push_back({rows[i], static_cast<int64_t>(row.ids.size())});
      batch.push_back(std::move(row));
    }
    const LossSum sum = learner_.Loss(batch, dropout);
    sums.loss += sum.loss.item<double>();
    sums.weight += sum.weight;
    sum.loss.backward(at::full_like(sum.loss, scale() / static_cast<double>(input.num_labels)));
    if (input.alive) input.alive();
  }
  return sums;
}

void StepRunner::Update(const StepInput& input, const at::Tensor& gradient) {
  const at::Tensor& parameters = learner_.flat_parameters();
  // One code path for all devices: on a GPU the adapter's masters make a round trip through the
  // host.
  const at::Tensor host = parameters.device().is_cpu() ? parameters : parameters.to(at::kCPU);
  optimizer_.Step(input.learning_rate, Flat(host), Flat(gradient));
  if (!parameters.device().is_cpu()) parameters.copy_(host);
}

}  // namespace anamnesis::train
