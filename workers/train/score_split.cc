// SPDX-License-Identifier: Apache-2.0
#include "workers/train/score_split.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <vector>

#include "workers/collective/tree.h"

namespace anamnesis::train {
namespace {

// [C] logits of a row.
std::span<const double> RowOf(const at::Tensor& scores_BC, size_t row) {
  const auto width = static_cast<size_t>(scores_BC.size(1));
  return {scores_BC.data_ptr<double>() + row * width, width};
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
  metrics::Rows own;
  own.num_classes = learner.num_classes();
  ANAM_RETURN_IF_ERROR(
      ForEachBatch(source, lanes, options, [&](size_t, std::span<const stream::PackedRow> rows) {
        const at::Tensor scores_BC = learner.Scores(rows);
        for (size_t i = 0; i < rows.size(); ++i) {
          own.Add(rows[i].subject_id, rows[i].label, RowOf(scores_BC, i));
        }
        return absl::OkStatus();
      }));
  return metrics::ScoredSplit::Create(Gather(group, own, learner.flat_parameters().device()));
}

}  // namespace anamnesis::train
