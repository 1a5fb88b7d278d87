// SPDX-License-Identifier: Apache-2.0
#include "workers/train/evaluate.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <vector>

#include "workers/collective/tree.h"
#include "workers/stream/prefetch.h"
#include "workers/train/lane_losses.h"

namespace anamnesis::train {
namespace {

struct LaneSums {
  double loss = 0, weight = 0;
};

StatusOr<LaneSums> SumLane(Learner& learner, stream::Prefetcher& rows, int64_t num_rows,
                           const EvaluateOptions& options) {
  LaneSums sums;
  for (int64_t begin = 0; begin < num_rows; begin += options.micro_batch_rows) {
    const int64_t end = std::min(num_rows, begin + options.micro_batch_rows);
    std::vector<stream::PackedRow> batch;
    batch.reserve(static_cast<size_t>(end - begin));
    for (int64_t i = begin; i < end; ++i) {
      ANAM_ASSIGN_OR_RETURN(stream::PackedRow row, rows.Next());
      batch.push_back(std::move(row));
    }
    const LossSum sum = learner.Loss(batch, {});
    sums.loss += sum.loss.item<double>();
    sums.weight += sum.weight;
    if (options.alive) options.alive();
  }
  return sums;
}

}  // namespace

StatusOr<Evaluation> Evaluate(Learner& learner, collective::Group& group, stream::RowSource& source,
                              const EvaluateOptions& options) {
  Evaluation result;
  const c10::NoGradGuard no_grad;
  const collective::LaneRange lanes =
      collective::LanesOfRank(group.rank(), group.size(), options.num_lanes);
  result.rows = source.num_rows();
  for (int64_t row = 0; row < result.rows; ++row) result.labels += source.RowLabels(row);
  if (result.labels == 0) return InvalidArgument("evaluation: the split has no labels");
  std::vector<int64_t> own_rows;
  for (int lane = lanes.begin; lane < lanes.end; ++lane) {
    const auto rows = collective::RowsOfLane(lane, options.num_lanes, result.rows);
    own_rows.insert(own_rows.end(), rows.begin(), rows.end());
  }
  stream::Prefetcher rows(source, std::move(own_rows),
                          static_cast<size_t>(2 * options.micro_batch_rows));
  std::vector<double> losses, weights;
  for (int lane = lanes.begin; lane < lanes.end; ++lane) {
    const auto num = collective::RowsOfLane(lane, options.num_lanes, result.rows).size();
    ANAM_ASSIGN_OR_RETURN(const LaneSums sums,
                          SumLane(learner, rows, static_cast<int64_t>(num), options));
    losses.push_back(sums.loss);
    weights.push_back(sums.weight);
  }
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
