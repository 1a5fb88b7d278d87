// SPDX-License-Identifier: Apache-2.0
// Trainer: the loop.
#include "workers/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <utility>

#include "workers/contract/fields.h"
#include "workers/train/classifier_report.h"
#include "workers/train/evaluate.h"
#include "workers/train/score_split.h"

namespace anamnesis::train {
namespace {

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

EpochShape Trainer::CurrentEpoch() const {
  return {train_rows_->num_rows(), rows_per_step(), static_cast<int>(plan_.training.lanes)};
}

bool Trainer::due(int64_t every, bool end_of_epoch) const {
  if (state_.global_step == plan_.training.total_steps) return true;
  return every > 0 ? state_.global_step % every == 0 : end_of_epoch;
}

Status Trainer::Run() {
  begin_ = clock_.Monotonic();
  Next next = state_.stopped_early || state_.global_step == plan_.training.total_steps
                  ? Next::kFinish
                  : Next::kContinue;
  int64_t first_step = first_step_in_epoch_;
  for (int64_t epoch = first_epoch_; next == Next::kContinue && epoch < plan_.training.epochs;
       ++epoch) {
    ANAM_ASSIGN_OR_RETURN(next, RunEpoch(epoch, first_step));
    first_step = 0;
  }
  ANAM_RETURN_IF_ERROR(next == Next::kStop ? SettleAll() : SaveFinalModel());
  ANAM_RETURN_IF_ERROR(ReportDone());
  if (next != Next::kStop) return absl::OkStatus();
  return Aborted("stopped after step ", state_.global_step, " of ", plan_.training.total_steps,
                 "; the checkpoint is saved, --resume continues");
}

StatusOr<Trainer::Next> Trainer::RunEpoch(int64_t epoch, int64_t first_step) {
  ANAM_RETURN_IF_ERROR(train_rows_->SelectEpoch(epoch));
  const EpochShape shape = CurrentEpoch();
  stream::Prefetcher rows(*train_rows_, RowsOfLanes(shape, step_runner_->lanes(), first_step),
                          static_cast<size_t>(2 * plan_.training.batch_size));
  for (int64_t step = first_step; step < shape.num_steps(); ++step) {
    ANAM_RETURN_IF_ERROR(RunStep(epoch, step, rows));
    ANAM_ASSIGN_OR_RETURN(const Next next, AfterStep(epoch, step));
    if (next != Next::kContinue) return next;
  }
  return Next::kContinue;
}

Status Trainer::RunStep(int64_t epoch, int64_t step_in_epoch, stream::Prefetcher& rows) {
  const EpochShape shape = CurrentEpoch();
  StepInput input;
  input.step = state_.global_step + 1;
  contract::StepReport report;
  for (int64_t row = shape.StepBegin(step_in_epoch); row < shape.StepEnd(step_in_epoch); ++row) {
    ++input.num_rows;
    input.num_labels += train_rows_->RowLabels(row);
    report.global_tokens += train_rows_->RowTokens(row);
  }
  // Skipped steps do not count for the schedule, as in HF's Trainer.
  input.learning_rate = schedule_->RateAt(optimizer_->steps() + 1);
  report.loss_scale = scaler_ ? scaler_->scale : 0;
  input.stop_requested = channel_->stop_requested();
  input.next_row = [&rows] { return rows.Next(); };
  input.alive = [this] { channel_->Alive(); };

  const double cpu_begin = CpuSeconds();
  const absl::Duration begin = clock_.Monotonic();
  ANAM_ASSIGN_OR_RETURN(const StepResult result, step_runner_->Run(input));
  report.seconds = absl::ToDoubleSeconds(clock_.Monotonic() - begin);
  report.cpu_seconds = CpuSeconds() - cpu_begin;

  stop_requested_ = result.stop_requested;
  state_.global_step = input.step;
  state_.epoch = static_cast<double>(epoch) +
                 static_cast<double>(step_in_epoch + 1) / static_cast<double>(shape.num_steps());
  state_.num_input_tokens_seen += report.global_tokens;
  const double loss = LossToLog(result);
  state_.loss_sum += loss;
  state_.loss_sum_since_log += loss;
  ++state_.steps_since_log;
  ++done_.steps_executed;
  done_.train_loss += loss;
  if (scaler_)
    state_.loss_scaler = {scaler_->scale, scaler_->growth_tracker, scaler_->skipped_steps};
  done_.skipped_steps = scaler_ ? scaler_->skipped_steps : 0;
  done_.cpu_seconds += report.cpu_seconds;
  done_.rank_tokens += result.tokens;
  report.step = input.step;
  report.epoch = state_.epoch;
  report.loss = result.loss;
  report.grad_norm = result.grad_norm;
  report.skipped = result.skipped;
  report.learning_rate = input.learning_rate;
  report.tokens = result.tokens;
  report.labels = input.num_labels;
  ANAM_RETURN_IF_ERROR(channel_->Report("step", contract::ToJson(report)));
  LogTraining(report);
  return absl::OkStatus();
}

// What a loss adds to the logged means: one of a skipped step that is not finite what HF's Trainer
// puts in its place (logging_nan_inf_filter).
double Trainer::LossToLog(const StepResult& result) const {
  if (std::isfinite(result.loss)) return result.loss;
  return state_.loss_sum_since_log / static_cast<double>(1 + state_.steps_since_log);
}

void Trainer::LogRow(Json row) {
  for (Json& value : row) {  // what JSON has no number for is a text in trainer_state.json
    if (value.is_number_float()) value = contract::fields::NumberToJson(value.get<double>());
  }
  state_.log_history.push_back(row);
  if (trackers_ != nullptr) trackers_->Log(row);
}

void Trainer::LogTraining(const contract::StepReport& report) {
  if (state_.global_step % plan_.training.logging_steps != 0) return;
  const double loss = state_.loss_sum_since_log / static_cast<double>(state_.steps_since_log);
  state_.loss_sum_since_log = 0;
  state_.steps_since_log = 0;
  Json row = {{"epoch", state_.epoch},
              {"grad_norm", report.grad_norm},
              {"learning_rate", report.learning_rate},
              {"loss", loss},
              {"step", state_.global_step}};
  if (scaler_) row["loss_scale"] = report.loss_scale;
  LogRow(std::move(row));
}

StatusOr<Trainer::Next> Trainer::AfterStep(int64_t epoch, int64_t step_in_epoch) {
  ANAM_RETURN_IF_ERROR(SettleCommits(std::chrono::milliseconds(0)));
  const bool end_of_epoch = step_in_epoch + 1 == CurrentEpoch().num_steps();
  if (tuning_rows_ != nullptr && due(plan_.training.eval_steps, end_of_epoch)) {
    ANAM_RETURN_IF_ERROR(EvaluateTuning());
  }
  const bool last = state_.global_step == plan_.training.total_steps;
  const bool stop = stop_requested_ && !last && !state_.stopped_early;
  if (stop || state_.stopped_early || due(plan_.training.save_steps, end_of_epoch)) {
    ANAM_RETURN_IF_ERROR(SaveCheckpoint(epoch, step_in_epoch));
  }
  if (stop) return Next::kStop;
  return last || state_.stopped_early ? Next::kFinish : Next::kContinue;
}

int64_t Trainer::eval_rows() const {
  return plan_.training.eval_batch_size > 0 ? plan_.training.eval_batch_size
                                            : plan_.training.batch_size;
}

EvaluateOptions Trainer::MakeEvaluateOptions() {
  return {.num_lanes = static_cast<int>(plan_.training.lanes),
          .micro_batch_rows = eval_rows(),
          .alive = [this] { channel_->Alive(); }};
}

StatusOr<Trainer::TuningResult> Trainer::MeasureTuning() {
  const EvaluateOptions options = MakeEvaluateOptions();
  TuningResult result;
  result.rows = tuning_rows_->num_rows();
  if (learner_->num_classes() == 0) {
    ANAM_ASSIGN_OR_RETURN(const Evaluation evaluation,
                          Evaluate(*learner_, *group_, *tuning_rows_, options));
    result.loss = evaluation.loss;
    result.labels = evaluation.labels;
    return result;
  }
  ANAM_ASSIGN_OR_RETURN(tuning_scores_, ScoreSplit(*learner_, *group_, *tuning_rows_, options));
  tuning_scores_step_ = state_.global_step;
  result.metrics = MetricsOf(*tuning_scores_);
  result.labels = tuning_scores_->num_rows();
  result.loss = result.metrics.at("loss");
  result.metrics.erase("loss");
  return result;
}

bool Trainer::TakeBest(const TuningResult& result) {
  const auto auroc = result.metrics.find("auroc");
  const bool by_auroc = auroc != result.metrics.end();
  const double value = by_auroc ? auroc->second : result.loss;
  const bool better =
      !state_.best_metric || (by_auroc ? value > *state_.best_metric : value < *state_.best_metric);
  if (!better) return false;
  state_.best_metric = value;
  state_.best_global_step = state_.global_step;
  return true;
}

Status Trainer::EvaluateTuning() {
  const absl::Duration begin = clock_.Monotonic();
  ANAM_ASSIGN_OR_RETURN(const TuningResult result, MeasureTuning());
  const double seconds = absl::ToDoubleSeconds(clock_.Monotonic() - begin);
  if (!std::isfinite(result.loss)) {
    return InvalidArgument("step ", state_.global_step, ": the evaluation loss is ", result.loss,
                           scaler_ ? " in float16; train with training.bf16, or in float32"
                                   : "; lower training.learning_rate");
  }
  int64_t& without_improvement = state_.evaluations_without_improvement;
  without_improvement = TakeBest(result) ? 0 : without_improvement + 1;
  const int64_t patience = plan_.training.early_stopping_patience;
  state_.stopped_early = patience > 0 && without_improvement >= patience;
  const auto rows = static_cast<double>(result.rows);
  const double steps = std::ceil(rows / static_cast<double>(eval_rows()));
  Json row = {{"epoch", state_.epoch},
              {"eval_loss", result.loss},
              {"eval_runtime", seconds},
              {"eval_samples_per_second", rows / std::max(seconds, 1e-9)},
              {"eval_steps_per_second", steps / std::max(seconds, 1e-9)},
              {"step", state_.global_step}};
  if (learner_->num_classes() == 0) {
    const double perplexity = std::exp(result.loss);
    row["eval_perplexity"] = std::isfinite(perplexity) ? Json(perplexity) : Json("inf");
  }
  for (const auto& [name, value] : result.metrics) row["eval_" + name] = value;
  LogRow(row);
  if (!is_first()) return absl::OkStatus();
  contract::EvalReport report;
  report.step = state_.global_step;
  report.epoch = state_.epoch;
  report.loss = result.loss;
  report.labels = result.labels;
  report.seconds = seconds;
  report.metrics = result.metrics;
  return channel_->Report("eval", contract::ToJson(report));
}

StatusOr<Json> Trainer::EvaluateAtEnd() {
  const EvaluateOptions options = MakeEvaluateOptions();
  // The last step was evaluated already, unless this run had nothing left to train.
  if (tuning_rows_ != nullptr && tuning_scores_step_ != state_.global_step) {
    ANAM_ASSIGN_OR_RETURN(tuning_scores_, ScoreSplit(*learner_, *group_, *tuning_rows_, options));
  }
  std::optional<metrics::ScoredSplit> held_out;
  if (held_out_rows_ != nullptr) {
    ANAM_ASSIGN_OR_RETURN(held_out, ScoreSplit(*learner_, *group_, *held_out_rows_, options));
  }
  if (!is_first()) return Json();
  ANAM_ASSIGN_OR_RETURN(
      const CohortReport cohort,
      MakeCohortReport(
          {.shards_directory = plan_.data.shards_directory,
           .stream = stream_,
           .num_classes = learner_->num_classes(),
           .train_split = plan_.data.train_split,
           .tuning_split = tuning_rows_ != nullptr ? plan_.data.tuning_split : "",
           .held_out_split = held_out_rows_ != nullptr ? plan_.data.held_out_split : ""}));
  return EvaluationJson({.tuning = tuning_scores_,
                         .held_out = held_out,
                         .seed = plan_.training.seed,
                         .cohort = &cohort});
}

Status Trainer::ReportDone() {
  done_.step = state_.global_step;
  done_.tokens_trained = state_.num_input_tokens_seen;
  if (trackers_ != nullptr) {
    done_.tracker_failures = trackers_->num_failures();
    done_.tracker_failure = trackers_->first_failure();
  }
  if (done_.steps_executed > 0) done_.train_loss /= static_cast<double>(done_.steps_executed);
  return channel_->Report("done", contract::ToJson(done_));
}

}  // namespace anamnesis::train
