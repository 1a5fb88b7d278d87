// SPDX-License-Identifier: Apache-2.0
#include "workers/train/evaluate.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <vector>

#include "workers/collective/tree.h"
#include "workers/train/lane_losses.h"

namespace anamnesis::train {

StatusOr<Evaluation> Evaluate(Learner& learner, collective::Group& group, stream::RowSource& source,
                              const EvaluateOptions& options) {
  Evaluation result;
  const c10::NoGradGuard no_grad;
  const collective::LaneRange lanes =
      collective::LanesOfRank(group.rank(), group.size(), options.num_lanes);
  result.rows = source.num_rows();
  for (int64_t row = 0; row < result.rows; ++row) result.labels += source.RowLabels(row);
  if (result.labels == 0) return InvalidArgument("evaluation: the split has no labels");
  std::vector<double> losses(static_cast<size_t>(lanes.size()), 0), weights = losses;
  ANAM_RETURN_IF_ERROR(ForEachBatch(source, lanes, options,
                                    [&](size_t lane, std::span<const stream::PackedRow> rows) {
                                      const LossSum sum = learner.Loss(rows, {});
                                      losses[lane] += sum.loss.item<double>();
                                      weights[lane] += sum.weight;
                                      return absl::OkStatus();
                                    }));
  const at::Device device = learner.flat_parameters().device();
  bool unused = false;
  const double loss = SumLaneLosses(group, options.num_lanes, losses, device, &unused);
  auto weight = static_cast<double>(result.labels);
  if (learner.is_weighted()) {
    weight = SumLaneLosses(group, options.num_lanes, weights, device, &unused);
  }
  result.loss = loss / weight;
  return result;
}

}  // namespace anamnesis::train
