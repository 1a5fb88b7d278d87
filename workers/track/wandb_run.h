// SPDX-License-Identifier: Apache-2.0
// WandbRun: a run of Weights & Biases written offline, which `wandb sync FOLDER` sends later:
//   <directory>/offline-run-<yyyymmdd_hhmmss>-<id>/run-<id>.wandb and files/{config.yaml,
//   wandb-metadata.json, wandb-summary.json}
// Numbers and the resolved specification alone go there: no console output, no host name, no
// environment. Nothing leaves the machine until a person syncs.
//
// All attempts of a run share id and folder. An attempt does not append to what an earlier one
// left, it writes the file anew from the checkpoint's log_history (times are kept from the earlier
// file), renames it into place and goes on: no line is lost or doubled, whatever the earlier
// attempt logged after the checkpoint or lost on a full disk, and one that is fenced but still
// alive writes to a file that is gone. Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "common/base/clock.h"
#include "common/io/json.h"
#include "workers/contract/plan.h"
#include "workers/track/tracker_file.h"
#include "workers/track/wandb_records.h"

namespace anamnesis::track {

struct WandbStart {
  contract::WandbPlan plan;
  std::string run_id;  // any text; W&B's id is made from it
  uint64_t attempt = 1;
  Json config;                       // the resolved specification, an object
  Json log_history = Json::array();  // of the checkpoint that is continued
};

// W&B's id of a run: `run_id` itself where it is of its alphabet and length (letters, digits, - and
// _, at most 64), else a digest of it.
std::string WandbIdOf(const std::string& run_id);
// The run's folder under `directory`, from this attempt or an earlier one.
std::optional<std::string> FindWandbRun(const std::string& directory, const std::string& run_id);

class WandbRun {
 public:
  // kAborted when a later attempt has the file already, else as of TrackerFile and StagedFile.
  static StatusOr<std::unique_ptr<WandbRun>> Open(const WandbStart& start, const Clock& clock);

  // One row of log_history as one line of the history (numbers of the whole run go to the summary
  // alone), named as HF's WandbCallback names them. Errors as of TrackerFile::Append.
  Status Log(const Json& row);
  // The run has ended: the exit record and wandb-summary.json. A run that is only stopped has none
  // and can be synced as it is.
  Status Finish(int exit_code);

  const std::string& folder() const { return folder_; }

 private:
  WandbRun(std::string folder, std::string id, const Clock& clock)
      : folder_(std::move(folder)), id_(std::move(id)), clock_(clock) {}
  std::string LogPath() const { return Cat(folder_, "/run-", id_, ".wandb"); }
  StatusOr<EarlierWandbRun> ReadEarlier(uint64_t attempt) const;
  Status WriteAnew(const WandbStart& start, const EarlierWandbRun& earlier);
  Status WriteFiles(const WandbStart& start) const;
  Status WriteSummaryFile() const;
  // Frames the records of a row behind `size_bytes` of log.
  std::string RecordsOf(const Json& row, const EarlierWandbRun* earlier, uint64_t size_bytes);
  void Frame(const std::string& record, uint64_t size_bytes, std::string* out) const;

  std::string folder_;
  std::string id_;
  const Clock& clock_;
  std::optional<TrackerFile> file_;
  double start_time_s_ = 0;
  double earlier_runtime_s_ = 0;  // of the attempts before
  absl::Duration opened_;
  int64_t next_num_ = 1;
  int64_t next_row_ = 0;
  std::set<std::string> tags_;  // that have their axis
  std::map<std::string, std::string> summary_;
};

}  // namespace anamnesis::track
