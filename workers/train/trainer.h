// SPDX-License-Identifier: Apache-2.0
// Trainer: one rank's run of a TrainPlan from its first step, or from a checkpoint, to
// final_model/. All ranks run the same loop; rank 0 also logs, saves and answers for the results.
// Order of rows, dropout and sums are functions of (stream digest, seed, epoch, step), so a resumed
// run has the bits of an uninterrupted one. Torch's exceptions fly, except those of a step.
// Thread-compatible.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "workers/checkpoint/checkpoint.h"
#include "workers/collective/group.h"
#include "workers/contract/plan.h"
#include "workers/contract/report.h"
#include "workers/metrics/scores.h"
#include "workers/stream/prefetch.h"
#include "workers/stream/row_source.h"
#include "workers/track/trackers.h"
#include "workers/track/trainer_state.h"
#include "workers/train/epoch_rows.h"
#include "workers/train/learner.h"
#include "workers/train/optimizer.h"
#include "workers/train/rank_channel.h"
#include "workers/train/schedule.h"
#include "workers/train/split_batches.h"
#include "workers/train/step.h"

namespace anamnesis::train {

class Trainer {
 public:
  // Reports `started`, forms the gang, loads the model, opens the rows and, with a checkpoint in
  // the plan, verifies and loads it. Everything is borrowed and outlives the trainer; `channel` is
  // shared with the rendezvous store.
  static StatusOr<std::unique_ptr<Trainer>> Create(const contract::TrainPlan& plan,
                                                   std::shared_ptr<RankChannel> channel,
                                                   const Clock& clock = Clock::System());

  // Begins the next epoch of the same run after Run() or Rejoin() failed for want of a peer: forms
  // a new gang and continues the plan's checkpoint with the model and the rows that are in memory.
  // kInvalidArgument for another run's plan, or one without a checkpoint.
  Status Rejoin(const contract::TrainPlan& plan);

  // Trains to the end and writes final_model/ (rank 0). After a stop request: the step is finished,
  // a checkpoint saved, and kAborted (exit code 130) returned; `done` is reported in both cases.
  Status Run();

  const track::TrainerState& state() const { return state_; }
  const Learner& learner() const { return *learner_; }

 private:
  enum class Next { kContinue, kFinish, kStop };

  Trainer(const contract::TrainPlan& plan, std::shared_ptr<RankChannel> channel,
          const Clock& clock);
  // trainer_open.cc
  Status Open();
  Status Begin();  // of an epoch: optimizer, checkpoint, cursor, logs
  Status CheckPlan() const;
  Status ReportStarted();
  Status OpenRows();
  Status FormGroup();
  void OpenTrackers();
  Status LoadCheckpoint();
  Status CheckSameRun(const checkpoint::Manifest& manifest) const;
  Status SeekCursor();
  // trainer.cc
  StatusOr<Next> RunEpoch(int64_t epoch, int64_t first_step);
  Status RunStep(int64_t epoch, int64_t step_in_epoch, stream::Prefetcher& rows);
  StatusOr<Next> AfterStep(int64_t epoch, int64_t step_in_epoch);
  double LossToLog(const StepResult& result) const;
  void LogTraining(const contract::StepReport& report);
  void LogRow(Json row);  // to log_history and the trackers
  EvaluateOptions MakeEvaluateOptions();
  struct TuningResult {
    double loss = 0;
    int64_t labels = 0, rows = 0;
    std::map<std::string, double> metrics;  // of classifiers
  };
  StatusOr<TuningResult> MeasureTuning();
  // Whether this is the best evaluation so far: by AUROC where there is one, else by the loss.
  bool TakeBest(const TuningResult& result);
  Status EvaluateTuning();
  // Classifiers, at the end: all ranks score tuning and held_out; the first has evaluation.json,
  // the others null.
  StatusOr<Json> EvaluateAtEnd();
  int64_t eval_rows() const;
  Status ReportDone();
  // trainer_save.cc
  Status SaveCheckpoint(int64_t epoch, int64_t step_in_epoch);
  Status SaveFinalModel();
  // Stages and asks for the commit.
  // `write_more` adds to the model's files and the trainer's state.
  Status SaveAs(const std::string& name, const checkpoint::Manifest& manifest,
                const std::function<Status(const std::string& staging)>& write_more);
  // Publishes what is granted, waiting up to `patience` for each answer.
  Status SettleCommits(std::chrono::milliseconds patience);
  Status SettleAll();
  std::vector<checkpoint::OptimizerTensor> OptimizerTensors();
  checkpoint::Manifest MakeManifest(int64_t epoch, int64_t step_in_epoch) const;

  bool is_first() const { return plan_.gang.rank == 0; }
  bool due(int64_t every, bool end_of_epoch) const;
  int64_t rows_per_step() const {
    return plan_.training.batch_size * plan_.training.gradient_accumulation_steps;
  }
  EpochShape CurrentEpoch() const;

  contract::TrainPlan plan_;
  std::shared_ptr<RankChannel> channel_;
  const Clock& clock_;
  checkpoint::Environment environment_;
  std::string bits_not_guaranteed_;  // why a resumed run's bits may differ; "" when they may not
  std::unique_ptr<collective::Group> group_;
  std::unique_ptr<Learner> learner_;
  stream::StreamSpec stream_;  // plan_.data.stream, parsed
  std::unique_ptr<stream::RowSource> train_rows_;
  std::unique_ptr<stream::RowSource> tuning_rows_;    // null without a tuning split
  std::unique_ptr<stream::RowSource> held_out_rows_;  // null but for classifiers with that split
  std::optional<AdamW> optimizer_;
  std::optional<Schedule> schedule_;
  std::optional<LossScaler> scaler_;  // in fp16
  std::unique_ptr<StepRunner> step_runner_;
  std::unique_ptr<track::Trackers> trackers_;  // rank 0
  track::TrainerState state_;
  int64_t first_epoch_ = 0;                            // of the cursor
  int64_t first_step_in_epoch_ = 0;                    // of the cursor
  std::optional<metrics::ScoredSplit> tuning_scores_;  // of classifiers, at tuning_scores_step_
  int64_t tuning_scores_step_ = -1;
  int64_t last_saved_step_ = -1;
  struct PendingCommit {
    checkpoint::Staged staged;
    int64_t step = 0;
    absl::Duration stall;  // of the training, so far
  };
  std::deque<PendingCommit> commits_;  // not answered, oldest first; rank 0
  bool stop_requested_ = false;        // agreed by all ranks
  absl::Duration begin_;
  contract::DoneReport done_;
};

}  // namespace anamnesis::train
