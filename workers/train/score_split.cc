// SPDX-License-Identifier: Apache-2.0
#include "workers/train/score_split.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "workers/collective/tree.h"
#include "workers/stream/prefetch.h"

namespace anamnesis::train {
namespace {

// [C] logits of a row.
std::span<const double> RowOf(const at::Tensor& scores_BC, size_t row) {
  const auto width = static_cast<size_t>(scores_BC.size(1));
  return {scores_BC.data_ptr<double>() + row * width, width};
}

// A batch never crosses lanes: which rows are computed together does not depend on the ranks.
Status ScoreLane(Learner& learner, stream::Prefetcher& source, size_t num_rows,
                 const EvaluateOptions& options, metrics::Rows* scored) {
  const auto micro_batch = static_cast<size_t>(options.micro_batch_rows);
  for (size_t begin = 0; begin < num_rows; begin += micro_batch) {
    std::vector<stream::PackedRow> batch;
    for (size_t i = begin; i < std::min(num_rows, begin + micro_batch); ++i) {
      ANAM_ASSIGN_OR_RETURN(stream::PackedRow row, source.Next());
      batch.push_back(std::move(row));
    }
    const at::Tensor scores_BC = learner.Scores(batch);
    for (size_t i = 0; i < batch.size(); ++i) {
      scored->Add(batch[i].subject_id, batch[i].label, RowOf(scores_BC, i));
    }
    if (options.alive) options.alive();
  }
  return absl::OkStatus();
}

// Ids and labels travel as int64, logits as fp64, each padded to the largest rank's rows.
std::vector<metrics::Rows> Gather(collective::Group& group, const metrics::Rows& own,
                                  at::Device device) {
  const int64_t classes = own.num_classes;
  const at::Tensor count = at::full({1}, own.num_rows(), at::kLong).to(device);
  std::vector<int64_t> counts;
  for (const at::Tensor& tensor : group.AllGather(count)) {
    counts.push_back(tensor.item<int64_t>());
  }
  const int64_t width = *std::max_element(counts.begin(), counts.end());
  at::Tensor names = at::zeros({width, 2}, at::kLong);
  at::Tensor logits = at::zeros({width, classes}, at::kDouble);
  for (int64_t row = 0; row < own.num_rows(); ++row) {
    const auto at_row = static_cast<size_t>(row);
    names[row][0] = own.subjects[at_row];
    names[row][1] = static_cast<int64_t>(own.labels[at_row]);
  }
  std::copy(own.logits_NC.begin(), own.logits_NC.end(), logits.data_ptr<double>());
  const std::vector<at::Tensor> all_names = group.AllGather(names.to(device));
  const std::vector<at::Tensor> all_logits = group.AllGather(logits.to(device));
  std::vector<metrics::Rows> parts;
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    const at::Tensor rank_names = all_names[rank].to(at::kCPU).contiguous();
    const at::Tensor rank_logits = all_logits[rank].to(at::kCPU).contiguous();
    const auto* name = rank_names.data_ptr<int64_t>();
    metrics::Rows& part = parts.emplace_back();
    part.num_classes = own.num_classes;
    for (int64_t row = 0; row < counts[rank]; ++row) {
      part.Add(name[2 * row], static_cast<int32_t>(name[2 * row + 1]),
               RowOf(rank_logits, static_cast<size_t>(row)));
    }
  }
  return parts;
}

}  // namespace

StatusOr<metrics::ScoredSplit> ScoreSplit(Learner& learner, collective::Group& group,
                                          stream::RowSource& source,
                                          const EvaluateOptions& options) {
  const c10::NoGradGuard no_grad;
  const collective::LaneRange lanes =
      collective::LanesOfRank(group.rank(), group.size(), options.num_lanes);
  std::vector<int64_t> own_rows;
  std::vector<size_t> rows_of_lane;
  for (int lane = lanes.begin; lane < lanes.end; ++lane) {
    const auto rows = collective::RowsOfLane(lane, options.num_lanes, source.num_rows());
    own_rows.insert(own_rows.end(), rows.begin(), rows.end());
    rows_of_lane.push_back(rows.size());
  }
  stream::Prefetcher rows(source, std::move(own_rows),
                          static_cast<size_t>(2 * options.micro_batch_rows));
  metrics::Rows own;
  own.num_classes = learner.num_classes();
  for (const size_t num_rows : rows_of_lane) {
    ANAM_RETURN_IF_ERROR(ScoreLane(learner, rows, num_rows, options, &own));
  }
  return metrics::ScoredSplit::Create(Gather(group, own, learner.flat_parameters().device()));
}

}  // namespace anamnesis::train
