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

Status NotFinite(const char* what, double value, int64_t step) {
  return InvalidArgument("step ", step, ": the ", what, " is ", value,
                         "; nothing was updated. Lower training.learning_rate or "
                         "training.max_grad_norm, or train in fp32, and resume from the last "
                         "checkpoint");
}

}  // namespace

StepRunner::StepRunner(const StepOptions& options, adapter::TrainableModel& model,
                       collective::Group& group, AdamW& optimizer)
    : options_(options),
      model_(model),
      group_(group),
      optimizer_(optimizer),
      gradients_(group, model.flat_gradient(), options.num_lanes) {}

StatusOr<StepResult> StepRunner::Run(const StepInput& input) {
  StepResult result;
  ANAM_RETURN_IF_ERROR(StatusFromTorch([&] { return RunThrowing(input, &result); }));
  return result;
}

Status StepRunner::RunThrowing(const StepInput& input, StepResult* result) {
  std::vector<double> losses;
  for (int lane = lanes().begin; lane < lanes().end; ++lane) {
    model_.ZeroGradient();
    double loss_sum = 0;
    ANAM_RETURN_IF_ERROR(RunLane(lane, input, &loss_sum, &result->tokens));
    losses.push_back(loss_sum);
    const c10::NoGradGuard no_grad;
    gradients_.Push(model_.flat_gradient());
  }
  const c10::NoGradGuard no_grad;
  result->stop_requested = input.stop_requested;
  result->loss = SumLaneLosses(group_, options_.num_lanes, losses,
                               model_.flat_parameters().device(), &result->stop_requested) /
                 static_cast<double>(input.num_labels);
  const at::Tensor gradient = gradients_.Sum(options_.exact);
  host_gradient_ = gradient.device().is_cpu() ? gradient : gradient.to(at::kCPU);
  result->grad_norm = GradientNorm(Flat(host_gradient_));
  if (!std::isfinite(result->loss)) return NotFinite("loss", result->loss, input.step);
  if (!std::isfinite(result->grad_norm)) {
    return NotFinite("gradient norm", result->grad_norm, input.step);
  }
  ClipGradient(result->grad_norm, options_.max_grad_norm, Flat(host_gradient_));
  Update(input, host_gradient_);
  return absl::OkStatus();
}

Status StepRunner::RunLane(int lane, const StepInput& input, double* loss_sum, int64_t* tokens) {
  const std::vector<int64_t> rows =
      collective::RowsOfLane(lane, options_.num_lanes, input.num_rows);
  const at::Device device = model_.flat_parameters().device();
  for (size_t begin = 0; begin < rows.size(); begin += options_.micro_batch_rows) {
    const size_t end =
        std::min(rows.size(), begin + static_cast<size_t>(options_.micro_batch_rows));
    std::vector<stream::PackedRow> packed;
    std::vector<model::RowView> views;
    adapter::DropoutContext dropout{
        .seed = options_.seed, .step = input.step, .rows = {}, .training = true};
    packed.reserve(end - begin);
    for (size_t i = begin; i < end; ++i) {
      ANAM_ASSIGN_OR_RETURN(stream::PackedRow row, input.next_row());
      *tokens += row.num_tokens;
      packed.push_back(std::move(row));
      views.push_back({packed.back().ids, packed.back().segment_lengths});
      dropout.rows.push_back({rows[i], static_cast<int64_t>(packed.back().ids.size())});
    }
    const at::Tensor loss = model_.LossSum(model::PackBatch(views, device), dropout);
    *loss_sum += loss.item<double>();
    loss.backward(at::full_like(loss, 1.0 / static_cast<double>(input.num_labels)));
    if (input.alive) input.alive();
  }
  return absl::OkStatus();
}

void StepRunner::Update(const StepInput& input, const at::Tensor& gradient) {
  const at::Tensor& parameters = model_.flat_parameters();
  // One code path for all devices: on a GPU the adapter's masters make a round trip through the
  // host.
  const at::Tensor host = parameters.device().is_cpu() ? parameters : parameters.to(at::kCPU);
  optimizer_.Step(input.learning_rate, Flat(host), Flat(gradient));
  if (!parameters.device().is_cpu()) parameters.copy_(host);
}

}  // namespace anamnesis::train
