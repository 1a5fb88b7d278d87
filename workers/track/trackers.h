// SPDX-License-Identifier: Apache-2.0
// Trackers: TensorBoard and W&B behind one door that neither fails nor stops the training. What
// goes wrong (full disk, folder that is unwritable or removed) is warned of once a tracker and
// counted; a full disk gets what it refused when there is room again, a tracker that cannot be
// opened or whose file is gone stays off for this attempt. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "workers/track/event_writer.h"
#include "workers/track/wandb_run.h"

namespace anamnesis::track {

struct TrackersStart {
  std::string tensorboard_directory;  // of the run, with earlier attempts' events; "": none
  std::string args_text;              // TensorBoard's texts `args` and `model_config`
  std::string model_config_text;
  std::optional<WandbStart> wandb;
};

class Trackers {
 public:
  using Warn = std::function<void(const std::string&)>;

  Trackers(const TrackersStart& start, const Clock& clock, Warn warn);

  // A new row of log_history.
  void Log(const Json& row);
  // The run is done (not merely stopped).
  void Finish();

  // Rows and records that a tracker did not take when they came; the first reason, "" when none.
  int64_t num_failures() const { return num_failures_; }
  const std::string& first_failure() const { return first_failure_; }

 private:
  Status OpenEvents(const TrackersStart& start, const Clock& clock);
  Status OpenWandb(const TrackersStart& start, const Clock& clock);
  // Counts a failure; `warned` is the tracker's.
  void Note(const char* tracker, const Status& status, bool* warned);

  Warn warn_;
  bool wants_events_ = false;
  bool wants_wandb_ = false;
  std::unique_ptr<EventWriter> events_;  // null: off
  std::unique_ptr<WandbRun> wandb_;
  bool warned_of_events_ = false;
  bool warned_of_wandb_ = false;
  int64_t num_failures_ = 0;
  std::string first_failure_;
};

}  // namespace anamnesis::track
