// SPDX-License-Identifier: Apache-2.0
// Trainer: checkpoints and final_model/, written by rank 0 while the others wait.
#include <algorithm>
#include <span>
#include <utility>

#include "common/io/file.h"
#include "workers/train/classifier_report.h"
#include "workers/train/trainer.h"
#include "workers/train/whole_model_files.h"

namespace anamnesis::train {
namespace {

// A coordinator that is there answers within milliseconds.
constexpr std::chrono::milliseconds kCommitPatience{1000};
constexpr std::chrono::milliseconds kForever = std::chrono::hours(24 * 365);
constexpr size_t kMaxPendingCommits = 8;
constexpr char kEvaluationName[] = "evaluation.json";

}  // namespace

std::vector<checkpoint::OptimizerTensor> Trainer::OptimizerTensors() {
  std::vector<checkpoint::OptimizerTensor> tensors;
  const std::span<float> exp_avg(optimizer_->exp_avg());
  const std::span<float> exp_avg_sq(optimizer_->exp_avg_sq());
  for (const ParameterSpan& span : optimizer_->layout()) {
    const auto offset = static_cast<size_t>(span.offset);
    const auto size = static_cast<size_t>(span.size);
    tensors.push_back({span.name, exp_avg.subspan(offset, size), exp_avg_sq.subspan(offset, size)});
  }
  return tensors;
}

checkpoint::Manifest Trainer::MakeManifest(int64_t epoch, int64_t step_in_epoch) const {
  checkpoint::Manifest manifest;
  manifest.run_id = plan_.gang.run_id;
  manifest.attempt = plan_.gang.epoch;
  manifest.task = plan_.task;
  manifest.stream_digest = plan_.data.stream_digest;
  manifest.seed = plan_.training.seed;
  manifest.epoch = epoch;
  manifest.step_in_epoch = step_in_epoch;
  manifest.step = state_.global_step;
  manifest.total_steps = plan_.training.total_steps;
  manifest.steps_executed = plan_.output.steps_executed_before + done_.steps_executed;
  manifest.spec_yaml_sha256 = plan_.output.spec_yaml_sha256;
  manifest.resolved_spec = plan_.output.resolved_spec;
  manifest.stream = plan_.data.stream;
  manifest.cutoff_months = stream_.cutoff_months;
  manifest.tokenizer_sha256 = stream_.tokenizer_sha256;
  manifest.base_model_name = plan_.model.name;
  manifest.base_model_sha256 = plan_.model.sha256;
  manifest.shards_manifest_sha256 = plan_.data.shards_manifest_sha256;
  manifest.subject_hashes_sha256 = plan_.data.subject_hashes_sha256;
  manifest.splits_read = {plan_.data.train_split};
  if (tuning_rows_ != nullptr) manifest.splits_read.push_back(plan_.data.tuning_split);
  if (held_out_rows_ != nullptr) manifest.splits_read.push_back(plan_.data.held_out_split);
  std::sort(manifest.splits_read.begin(), manifest.splits_read.end());
  manifest.engine = plan_.training.engine;
  manifest.determinism = plan_.training.determinism;
  manifest.dtype = plan_.model.dtype;
  manifest.lanes = plan_.training.lanes;
  manifest.rows_per_step = rows_per_step();
  manifest.num_ranks = plan_.gang.num_ranks;
  manifest.environment = environment_;
  manifest.tokens_trained = state_.num_input_tokens_seen;
  manifest.bits_not_guaranteed = bits_not_guaranteed_;
  return manifest;
}

Status Trainer::SaveCheckpoint(int64_t epoch, int64_t step_in_epoch) {
  if (state_.global_step == last_saved_step_) return absl::OkStatus();
  const std::string name = Cat(checkpoint::kCheckpointPrefix, state_.global_step);
  if (state_.best_metric && state_.best_global_step == state_.global_step) {
    state_.best_model_checkpoint = plan_.output.directory + "/" + name;
  }
  const AliveScope alive(*channel_);
  if (is_first()) {
    const bool end_of_epoch = step_in_epoch + 1 == CurrentEpoch().num_steps();
    const checkpoint::Manifest manifest =
        end_of_epoch ? MakeManifest(epoch + 1, 0) : MakeManifest(epoch, step_in_epoch + 1);
    ANAM_RETURN_IF_ERROR(SaveAs(name, manifest, [&](const std::string& staging) {
      return checkpoint::WriteOptimizer(staging + "/" + checkpoint::kOptimizerName,
                                        optimizer_->steps(), OptimizerTensors());
    }));
    // While the coordinator is away the training goes on, with the checkpoint staged; only many of
    // them hold it up.
    const bool is_away = commits_.size() > 1;
    ANAM_RETURN_IF_ERROR(SettleCommits(commits_.size() >= kMaxPendingCommits ? kForever
                                       : is_away ? std::chrono::milliseconds(0)
                                                 : kCommitPatience));
  }
  last_saved_step_ = state_.global_step;
  group_->Barrier();
  return absl::OkStatus();
}

Status Trainer::SaveFinalModel() {
  const AliveScope alive(*channel_);
  Json evaluation;
  if (learner_->num_classes() > 0) {
    ANAM_ASSIGN_OR_RETURN(evaluation, EvaluateAtEnd());
  }
  done_.evaluation = FiguresOf(evaluation);
  if (is_first()) {
    ANAM_RETURN_IF_ERROR(SettleAll());
    const double seconds = absl::ToDoubleSeconds(clock_.Monotonic() - begin_);
    const auto steps = static_cast<double>(state_.global_step);
    LogRow({{"epoch", state_.epoch},
            {"step", state_.global_step},
            {"total_flos", 0},
            {"train_loss", state_.global_step > 0 ? state_.loss_sum / steps : 0.0},
            {"train_runtime", seconds},
            {"train_samples_per_second",
             static_cast<double>(done_.steps_executed * rows_per_step()) / std::max(seconds, 1e-9)},
            {"train_steps_per_second",
             static_cast<double>(done_.steps_executed) / std::max(seconds, 1e-9)}});
    checkpoint::Manifest manifest = MakeManifest(plan_.training.epochs, 0);
    manifest.kind = "final_model";
    const auto write_more = [&](const std::string& staging) -> Status {
      if (contract::TrainsWholeModel(plan_)) {
        ANAM_RETURN_IF_ERROR(WriteWholeModelFiles(staging, plan_));
      }
      if (evaluation.is_null() || evaluation.empty()) return absl::OkStatus();
      return WriteFileDurably(staging + "/" + kEvaluationName, evaluation.dump(2) + "\n");
    };
    ANAM_RETURN_IF_ERROR(SaveAs(checkpoint::kFinalModelName, manifest, write_more));
    ANAM_RETURN_IF_ERROR(SettleAll());
    if (trackers_ != nullptr) trackers_->Finish();
    const checkpoint::FinalModel final_model =
        checkpoint::FinalModelOf(plan_.output.directory, contract::TrainsWholeModel(plan_));
    ANAM_ASSIGN_OR_RETURN(done_.final_sha256,
                          FileSha256(final_model.directory + "/" + learner_->main_file()));
  }
  group_->Barrier();
  return absl::OkStatus();
}

Status Trainer::SaveAs(const std::string& name, const checkpoint::Manifest& manifest,
                       const std::function<Status(const std::string& staging)>& write_more) {
  const absl::Duration begin = clock_.Monotonic();
  checkpoint::SaveOptions options;
  options.output_directory = plan_.output.directory;
  options.name = name;
  options.whole = contract::TrainsWholeModel(plan_);
  options.manifest = manifest;
  options.model_directory = plan_.model.directory;
  options.write_files = [&](const std::string& staging) -> Status {
    ANAM_RETURN_IF_ERROR(learner_->Save(staging));
    ANAM_RETURN_IF_ERROR(WriteFileDurably(staging + "/" + checkpoint::kTrainerStateName,
                                          track::TrainerStateText(state_)));
    return write_more(staging);
  };
  ANAM_ASSIGN_OR_RETURN(const checkpoint::Staged staged, checkpoint::Stage(options));
  ANAM_RETURN_IF_ERROR(channel_->StartCommit(state_.global_step, name, staged.sha256));
  commits_.push_back({staged, state_.global_step, clock_.Monotonic() - begin});
  return absl::OkStatus();
}

Status Trainer::SettleAll() {
  const AliveScope alive(*channel_);
  return SettleCommits(kForever);
}

Status Trainer::SettleCommits(std::chrono::milliseconds patience) {
  while (!commits_.empty()) {
    const absl::Duration begin = clock_.Monotonic();
    PendingCommit& commit = commits_.front();
    const std::optional<Status> answer = channel_->CommitAnswer(commit.step, patience);
    if (!answer) {
      commit.stall += clock_.Monotonic() - begin;
      return absl::OkStatus();
    }
    if (!answer->ok()) {
      for (const PendingCommit& refused : commits_) checkpoint::Discard(refused.staged);
      commits_.clear();
      return *answer;
    }
    ANAM_RETURN_IF_ERROR(checkpoint::Publish(commit.staged));
    const absl::Duration stall = commit.stall + (clock_.Monotonic() - begin);
    ANAM_RETURN_IF_ERROR(channel_->Report("saved", {{"step", commit.step},
                                                    {"path", commit.staged.path},
                                                    {"sha256", commit.staged.sha256},
                                                    {"seconds", absl::ToDoubleSeconds(stall)}}));
    commits_.pop_front();
    ANAM_RETURN_IF_ERROR(checkpoint::RemoveOldCheckpoints(
        plan_.output.directory, plan_.training.save_total_limit, state_.best_model_checkpoint));
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::train
