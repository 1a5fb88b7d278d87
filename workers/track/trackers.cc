// SPDX-License-Identifier: Apache-2.0
#include "workers/track/trackers.h"

#include <utility>

namespace anamnesis::track {
namespace {

constexpr char kTensorBoard[] = "TensorBoard";
constexpr char kWandb[] = "W&B";

Status IsOff() { return Unavailable("off since it failed"); }

}  // namespace

Trackers::Trackers(const TrackersStart& start, const Clock& clock, Warn warn)
    : warn_(std::move(warn)),
      wants_events_(!start.tensorboard_directory.empty()),
      wants_wandb_(start.wandb.has_value()) {
  if (wants_events_) Note(kTensorBoard, OpenEvents(start, clock), &warned_of_events_);
  if (wants_wandb_) Note(kWandb, OpenWandb(start, clock), &warned_of_wandb_);
}

Status Trackers::OpenEvents(const TrackersStart& start, const Clock& clock) {
  ANAM_ASSIGN_OR_RETURN(LastSteps written, LastStepsIn(start.tensorboard_directory));
  ANAM_ASSIGN_OR_RETURN(events_,
                        EventWriter::Open(start.tensorboard_directory, std::move(written), clock));
  ANAM_RETURN_IF_ERROR(events_->WriteText("args", start.args_text));
  return events_->WriteText("model_config", start.model_config_text);
}

Status Trackers::OpenWandb(const TrackersStart& start, const Clock& clock) {
  ANAM_ASSIGN_OR_RETURN(wandb_, WandbRun::Open(*start.wandb, clock));
  return absl::OkStatus();
}

void Trackers::Log(const Json& row) {
  if (wants_events_) {
    Note(kTensorBoard, events_ == nullptr ? IsOff() : events_->Write(StepOf(row), ScalarsOf(row)),
         &warned_of_events_);
  }
  if (wants_wandb_) {
    Note(kWandb, wandb_ == nullptr ? IsOff() : wandb_->Log(row), &warned_of_wandb_);
  }
}

void Trackers::Finish() {
  if (wandb_ != nullptr) Note(kWandb, wandb_->Finish(/*exit_code=*/0), &warned_of_wandb_);
}

void Trackers::Note(const char* tracker, const Status& status, bool* warned) {
  if (status.ok()) return;
  ++num_failures_;
  if (*warned) return;
  *warned = true;
  const std::string text = Cat(tracker, ": ", MessageOf(status));
  if (first_failure_.empty()) first_failure_ = text;
  warn_(Cat("warning: ", text, "; the training goes on, further failures are only counted"));
}

}  // namespace anamnesis::track
