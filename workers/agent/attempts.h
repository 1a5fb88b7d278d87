// SPDX-License-Identifier: Apache-2.0
// The record of a run in its output folder: `.anamnesis/run.json` (what the run is, how often it
// was started) and one
// `.anamnesis/steps-ATTEMPT` per attempt (first and last step executed, rewritten at each step, so
// that steps lost by a kill are counted too). Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/io/file.h"
#include "common/io/json.h"

namespace anamnesis::agent {

struct RunRecord {
  std::string run_id;
  std::string task;
  uint64_t attempt = 0;  // of the last start
  Json resolved_spec = Json::object();
  std::string spec_yaml_sha256;
  Json stream = Json::object();
  std::string shards_manifest_sha256;
  std::string base_model_sha256;
  std::string tensorboard_directory;
};

StatusOr<RunRecord> ReadRunRecord(const std::string& marker);  // kDataLoss
Status WriteRunRecord(const std::string& marker, const RunRecord& record);

// What a resume must not change, as `now` differs from `before`: configuration keys with the reason
// where the key's text is the same ("data.data_dir (the data have changed)"). Ranks, threads, the
// output folder's own path and its overwrite rule may change.
StatusOr<std::vector<std::string>> KeysThatForbidResume(const RunRecord& before,
                                                        const RunRecord& now);

// Steps executed by all attempts so far.
StatusOr<int64_t> StepsExecuted(const std::string& marker);

// Counts the steps of one attempt.
class StepCounter {
 public:
  static StatusOr<StepCounter> Create(const std::string& marker, uint64_t attempt);
  Status Add(int64_t step);
  int64_t count() const { return first_ == 0 ? 0 : last_ - first_ + 1; }

 private:
  StepCounter(FileDescriptor file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}

  FileDescriptor file_;
  std::string path_;
  int64_t first_ = 0;
  int64_t last_ = 0;
};

}  // namespace anamnesis::agent
