// SPDX-License-Identifier: Apache-2.0
#include "workers/train/causal_learner.h"

#include <ATen/ATen.h>

#include <utility>

#include "workers/stream/prompt.h"
#include "workers/stream/stream_spec.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::train {

StatusOr<std::unique_ptr<Learner>> CausalLearner::Open(const contract::TrainPlan& plan,
                                                       at::Device device) {
  ANAM_ASSIGN_OR_RETURN(
      auto model, adapter::TrainableModel::Load(plan.model, plan.lora, plan.training.seed, device));
  ANAM_RETURN_IF_ERROR(StartAsPlanned(plan, *model));
  ANAM_ASSIGN_OR_RETURN(const stream::StreamSpec spec,
                        stream::StreamSpecFromJson(plan.data.stream, "plan: data.stream"));
  std::vector<std::vector<int32_t>> answers;
  if (spec.has_prompt()) {
    ANAM_ASSIGN_OR_RETURN(const auto tokenizer,
                          text::Tokenizer::FromDirectory(plan.model.directory));
    ANAM_ASSIGN_OR_RETURN(answers, stream::AnswerIds(spec.prompt, *tokenizer));
  }
  return std::make_unique<CausalLearner>(std::move(model), std::move(answers));
}

std::vector<model::RowView> ViewsOf(std::span<const stream::PackedRow> rows) {
  std::vector<model::RowView> views;
  for (const stream::PackedRow& row : rows) {
    views.push_back({row.ids, row.segment_lengths, row.num_prompt_ids});
  }
  return views;
}

LossSum CausalLearner::Loss(std::span<const stream::PackedRow> rows,
                            const adapter::DropoutContext& dropout) {
  const model::PackedBatch batch = model::PackBatch(ViewsOf(rows), flat_parameters().device());
  const auto num_labels = static_cast<double>(batch.num_labels);
  return {model_->LossSum(batch, dropout), num_labels};
}

// A row at a time with all its answers, so that memory does not grow with the evaluation's batch.
at::Tensor CausalLearner::Scores(std::span<const stream::PackedRow> rows) {
  const auto num_classes = static_cast<int64_t>(answers_.size());
  at::Tensor scores_BC = at::zeros({static_cast<int64_t>(rows.size()), num_classes}, at::kDouble);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::vector<model::RowView> views;
    std::vector<std::vector<int32_t>> ids(answers_.size());
    std::vector<int32_t> lengths(answers_.size());
    for (size_t c = 0; c < answers_.size(); ++c) {
      ids[c].assign(rows[i].ids.begin(), rows[i].ids.begin() + rows[i].num_prompt_ids);
      ids[c].insert(ids[c].end(), answers_[c].begin(), answers_[c].end());
      lengths[c] = static_cast<int32_t>(ids[c].size());
      views.push_back({ids[c], {&lengths[c], 1}, rows[i].num_prompt_ids});
    }
    const at::Tensor log_p_N =
        model_->LabelLogProbs(model::PackBatch(views, flat_parameters().device())).to(at::kCPU);
    int64_t begin = 0;
    for (size_t c = 0; c < answers_.size(); ++c) {
      const auto length = static_cast<int64_t>(answers_[c].size());
      scores_BC[static_cast<int64_t>(i)][static_cast<int64_t>(c)] =
          log_p_N.narrow(0, begin, length).sum();
      begin += length;
    }
  }
  return scores_BC;
}

}  // namespace anamnesis::train
