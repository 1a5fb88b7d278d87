// SPDX-License-Identifier: Apache-2.0
// Trainer: everything before the first step.
#include <ATen/Parallel.h>
#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "common/io/file.h"
#include "workers/collective/cuda_module.h"
#include "workers/stream/stream_spec.h"
#include "workers/train/environment.h"
#include "workers/train/trainer.h"

namespace anamnesis::train {

Trainer::Trainer(const contract::TrainPlan& plan, std::shared_ptr<RankChannel> channel,
                 const Clock& clock)
    : plan_(plan),
      channel_(std::move(channel)),
      clock_(clock),
      environment_(ThisEnvironment(plan.gang.threads)) {}

StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const contract::TrainPlan& plan,
                                                   std::shared_ptr<RankChannel> channel,
                                                   const Clock& clock) {
  std::unique_ptr<Trainer> trainer(new Trainer(plan, std::move(channel), clock));
  ANAM_RETURN_IF_ERROR(trainer->Open());
  return trainer;
}

Status Trainer::Open() {
  ANAM_RETURN_IF_ERROR(CheckPlan());
  ANAM_RETURN_IF_ERROR(ReportStarted());
  at::set_num_threads(plan_.gang.threads);
  const AliveScope alive(*channel_);
  ANAM_RETURN_IF_ERROR(FormGroup());
  ANAM_RETURN_IF_ERROR(OpenRows());
  const at::Device device = plan_.gang.device == "cuda" ? at::Device(at::kCUDA, 0) : at::kCPU;
  ANAM_ASSIGN_OR_RETURN(learner_, OpenLearner(plan_, device));
  return Begin();
}

Status Trainer::Rejoin(const contract::TrainPlan& plan) {
  if (plan.output.resume_checkpoint.empty() || plan.model.sha256 != plan_.model.sha256 ||
      plan.data.stream_digest != plan_.data.stream_digest ||
      plan.data.shards_manifest_sha256 != plan_.data.shards_manifest_sha256 ||
      plan.gang.rank != plan_.gang.rank) {
    return InvalidArgument("plan: a rank joins again with its model, its data and a checkpoint");
  }
  step_runner_.reset();
  group_.reset();
  trackers_.reset();
  commits_.clear();
  plan_ = plan;
  state_ = {};
  done_ = {};
  tuning_scores_.reset();
  tuning_scores_step_ = -1;
  last_saved_step_ = -1;
  stop_requested_ = false;
  learner_->ZeroGradient();
  ANAM_RETURN_IF_ERROR(CheckPlan());
  ANAM_RETURN_IF_ERROR(ReportStarted());
  const AliveScope alive(*channel_);
  ANAM_RETURN_IF_ERROR(FormGroup());
  return Begin();
}

Status Trainer::Begin() {
  optimizer_.emplace(AdamWOptions{.weight_decay = plan_.training.weight_decay}, learner_->Layout());
  ANAM_ASSIGN_OR_RETURN(
      schedule_, Schedule::Create({plan_.training.lr_scheduler_type, plan_.training.learning_rate,
                                   plan_.training.warmup_steps, plan_.training.total_steps}));
  scaler_.reset();
  if (plan_.model.dtype == "float16") scaler_.emplace();
  state_.max_steps = plan_.training.total_steps;
  state_.num_train_epochs = plan_.training.epochs;
  state_.logging_steps = plan_.training.logging_steps;
  state_.eval_steps = plan_.training.eval_steps;
  state_.save_steps = plan_.training.save_steps;
  state_.train_batch_size = plan_.training.batch_size;
  if (is_first()) ANAM_RETURN_IF_ERROR(checkpoint::RemoveStaging(plan_.output.directory));
  if (!plan_.output.resume_checkpoint.empty()) ANAM_RETURN_IF_ERROR(LoadCheckpoint());
  ANAM_RETURN_IF_ERROR(SeekCursor());
  OpenTrackers();
  step_runner_ =
      std::make_unique<StepRunner>(StepOptions{.num_lanes = static_cast<int>(plan_.training.lanes),
                                               .micro_batch_rows = plan_.training.batch_size,
                                               .max_grad_norm = plan_.training.max_grad_norm,
                                               .seed = plan_.training.seed,
                                               .exact = plan_.training.determinism == "exact"},
                                   *learner_, *group_, *optimizer_, scaler_ ? &*scaler_ : nullptr);
  return absl::OkStatus();
}

Status Trainer::CheckPlan() const {
  const auto& gang = plan_.gang;
  const auto& training = plan_.training;
  if (plan_.output.wandb.enabled && plan_.output.wandb.mode != "offline") {
    return Unimplemented("wandb.mode: ", plan_.output.wandb.mode,
                         " is not built yet; leave it out: the run is written offline, and the "
                         "`wandb sync` line at its end sends it");
  }
  if (training.engine != "reference") {
    return Unimplemented("training.engine: ", training.engine, " is not built yet");
  }
  if (gang.device != "cpu" && gang.device != "cuda") {
    return InvalidArgument("gang.device: ", gang.device, ": expected cpu or cuda");
  }
  if (training.determinism != "exact" && training.determinism != "fast") {
    return InvalidArgument("training.determinism: ", training.determinism,
                           ": expected exact or fast");
  }
  if (training.lanes < 1 || (training.lanes & (training.lanes - 1)) != 0 ||
      training.lanes > 1 << 20) {
    return InvalidArgument("training.lanes: ", training.lanes, ": expected a power of two");
  }
  if (gang.rank < 0 || gang.rank >= gang.num_ranks || gang.num_ranks > training.lanes) {
    return InvalidArgument("gang: rank ", gang.rank, " of ", gang.num_ranks, " with ",
                           training.lanes, " lanes: expected rank < num_ranks ≤ lanes");
  }
  if (gang.threads < 1 || training.epochs < 1 || training.batch_size < 1 ||
      training.gradient_accumulation_steps < 1 || training.logging_steps < 1 ||
      training.total_steps < 1) {
    return InvalidArgument(
        "plan: gang.threads and training.{epochs, batch_size, "
        "gradient_accumulation_steps, logging_steps, total_steps} must be at "
        "least 1");
  }
  if (gang.num_ranks > 1 && !channel_->connected()) {
    return InvalidArgument("gang.num_ranks is ", gang.num_ranks,
                           ", but there is no worker to meet the others through: start the gang "
                           "with `anamnesis run`, or set num_ranks to 1");
  }
  return absl::OkStatus();
}

Status Trainer::ReportStarted() {
  Json message = {{"rank", plan_.gang.rank},
                  {"pid", getpid()},
                  {"engine", plan_.training.engine},
                  {"device", plan_.gang.device}};
  if (!plan_.output.resume_checkpoint.empty()) {
    ANAM_ASSIGN_OR_RETURN(const checkpoint::Manifest manifest,
                          checkpoint::ReadManifest(plan_.output.resume_checkpoint));
    message["resumed_step"] = manifest.step;
    const std::string why = WhyBitsDiffer(manifest.environment, environment_);
    // Once lost, the guarantee does not come back by a second resume.
    bits_not_guaranteed_ = why.empty() ? manifest.bits_not_guaranteed : why;
    if (!why.empty()) message["bits_not_guaranteed"] = why;
  }
  return channel_->Report("started", std::move(message));
}

Status Trainer::FormGroup() {
  const collective::GroupOptions options{
      .rank = plan_.gang.rank,
      .num_ranks = plan_.gang.num_ranks,
      .prefix = Cat(plan_.gang.run_id, "/", plan_.gang.epoch, "/"),
      .interface = plan_.gang.interface};
  if (plan_.gang.device == "cuda") ANAM_RETURN_IF_ERROR(collective::LoadCudaModule().status());
  if (options.num_ranks == 1) {
    group_ = collective::MakeSingleGroup();
  } else if (plan_.gang.device == "cuda") {
    ANAM_ASSIGN_OR_RETURN(group_, collective::MakeNcclGroup(channel_, options));
  } else {
    group_ = collective::MakeGlooGroup(channel_, options);
  }
  return absl::OkStatus();
}

Status Trainer::OpenRows() {
  const contract::DataPlan& data = plan_.data;
  ANAM_ASSIGN_OR_RETURN(stream_, stream::StreamSpecFromJson(data.stream, "plan: data.stream"));
  const std::string digest = stream::StreamDigest(stream_);
  if (digest != data.stream_digest) {
    return InvalidArgument("plan: data.stream_digest is not the digest of data.stream (", digest,
                           ")");
  }
  const std::string manifest = data.shards_directory + "/manifest.json";
  ANAM_ASSIGN_OR_RETURN(const std::string sha256, FileSha256(manifest));
  if (sha256 != data.shards_manifest_sha256) {
    return DataLoss(manifest, ": SHA-256 ", sha256.substr(0, 16), "…, the plan says ",
                    data.shards_manifest_sha256.substr(0, 16), "…");
  }
  stream::RowSourceOptions options{.shards_directory = data.shards_directory,
                                   .split = data.train_split,
                                   .model_directory = plan_.model.directory,
                                   .spec = stream_,
                                   .index_path = data.train_index,
                                   .seed = plan_.training.seed,
                                   .shuffle = true};
  ANAM_ASSIGN_OR_RETURN(train_rows_, stream::RowSource::Open(options));
  options.shuffle = false;
  if (!data.held_out_index.empty()) {
    options.split = data.held_out_split;
    options.index_path = data.held_out_index;
    ANAM_ASSIGN_OR_RETURN(held_out_rows_, stream::RowSource::Open(options));
  }
  if (data.tuning_index.empty()) return absl::OkStatus();
  options.split = data.tuning_split;
  options.index_path = data.tuning_index;
  ANAM_ASSIGN_OR_RETURN(tuning_rows_, stream::RowSource::Open(options));
  return absl::OkStatus();
}

// What goes wrong with a tracker never stops the training: a text that cannot be read is left
// empty.
void Trainer::OpenTrackers() {
  if (!is_first()) return;
  const contract::OutputPlan& output = plan_.output;
  track::TrackersStart start;
  start.tensorboard_directory = output.tensorboard_directory;
  start.args_text = output.resolved_spec.dump(2, ' ', false, Json::error_handler_t::replace);
  start.model_config_text = ReadFile(plan_.model.directory + "/config.json").value_or("");
  if (output.wandb.enabled) {
    start.wandb = {.plan = output.wandb,
                   .run_id = plan_.gang.run_id,
                   .attempt = plan_.gang.epoch,
                   .config = output.resolved_spec,
                   .log_history = state_.log_history};
  }
  trackers_ = std::make_unique<track::Trackers>(start, clock_, [](const std::string& text) {
    std::fprintf(stderr, "anamnesis-rank: %s\n", text.c_str());
  });
}

Status Trainer::CheckSameRun(const checkpoint::Manifest& manifest) const {
  const auto differs = [&](const char* what, const auto& before, const auto& now) {
    return FailedPrecondition(plan_.output.resume_checkpoint, ": made with another ", what, " (",
                              before, " before, ", now,
                              " now); resume with the settings of that run, or start a new one");
  };
  if (manifest.stream_digest != plan_.data.stream_digest) {
    return differs("stream digest", manifest.stream_digest, plan_.data.stream_digest);
  }
  if (manifest.shards_manifest_sha256 != plan_.data.shards_manifest_sha256) {
    return differs("shard set", manifest.shards_manifest_sha256, plan_.data.shards_manifest_sha256);
  }
  if (manifest.base_model_sha256 != plan_.model.sha256) {
    return differs("base model", manifest.base_model_sha256, plan_.model.sha256);
  }
  if (manifest.seed != plan_.training.seed) {
    return differs("training.seed", manifest.seed, plan_.training.seed);
  }
  if (manifest.lanes != plan_.training.lanes) {
    return differs("training.lanes", manifest.lanes, plan_.training.lanes);
  }
  if (manifest.rows_per_step != rows_per_step()) {
    return differs("global batch (batch_size × gradient_accumulation_steps)",
                   manifest.rows_per_step, rows_per_step());
  }
  if (manifest.dtype != plan_.model.dtype) {
    return differs("model dtype", manifest.dtype, plan_.model.dtype);
  }
  return absl::OkStatus();
}

Status Trainer::LoadCheckpoint() {
  const std::string& directory = plan_.output.resume_checkpoint;
  ANAM_ASSIGN_OR_RETURN(const checkpoint::Manifest manifest, checkpoint::OpenVerified(directory));
  ANAM_RETURN_IF_ERROR(CheckSameRun(manifest));
  ANAM_RETURN_IF_ERROR(learner_->Load(directory));
  int64_t updates = 0;
  ANAM_RETURN_IF_ERROR(checkpoint::ReadOptimizer(directory + "/" + checkpoint::kOptimizerName,
                                                 &updates, OptimizerTensors()));
  optimizer_->set_steps(updates);
  const std::string state_path = directory + "/" + checkpoint::kTrainerStateName;
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(state_path));
  const track::TrainerState planned = state_;
  ANAM_ASSIGN_OR_RETURN(state_, track::TrainerStateFromJson(json, state_path));
  const int64_t skipped = scaler_ ? state_.loss_scaler.skipped_steps : 0;
  if (state_.global_step != manifest.step || updates + skipped != manifest.step) {
    return DataLoss(directory, ": the manifest says step ", manifest.step, ", trainer_state.json ",
                    state_.global_step, " (", skipped, " skipped), the optimizer ", updates);
  }
  if (scaler_) {
    const track::LossScalerState& scaler = state_.loss_scaler;
    *scaler_ = {scaler.scale, scaler.growth_tracker, scaler.skipped_steps};
  }
  // What a user may change between attempts comes from the plan.
  state_.max_steps = planned.max_steps;
  state_.num_train_epochs = planned.num_train_epochs;
  state_.logging_steps = planned.logging_steps;
  state_.eval_steps = planned.eval_steps;
  state_.save_steps = planned.save_steps;
  last_saved_step_ = manifest.step;
  return absl::OkStatus();
}

Status Trainer::SeekCursor() {
  int64_t before = 0;  // steps of the epochs before `epoch`
  for (int64_t epoch = 0; epoch < plan_.training.epochs; ++epoch) {
    ANAM_RETURN_IF_ERROR(train_rows_->SelectEpoch(epoch));
    const int64_t steps = CurrentEpoch().num_steps();
    if (before <= state_.global_step) {
      first_epoch_ = epoch;
      first_step_in_epoch_ = state_.global_step - before;
    }
    before += steps;
  }
  if (before != plan_.training.total_steps) {
    return InvalidArgument("plan: training.total_steps is ", plan_.training.total_steps,
                           ", the epochs have ", before, " steps");
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::train
