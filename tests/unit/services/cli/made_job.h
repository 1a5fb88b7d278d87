// SPDX-License-Identifier: Apache-2.0
// A job as a coordinator would tell it, for the tests of what is printed.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "anamnesis/v1/checkpoint_service.pb.h"
#include "anamnesis/v1/job_service.pb.h"

namespace anamnesis::cli {

inline absl::Time MadeNow() {
  return absl::FromCivil(absl::CivilSecond(2026, 3, 1, 12, 0, 0), absl::UTCTimeZone());
}

inline void SetTime(absl::Time time, google::protobuf::Timestamp* stamp) {
  stamp->set_seconds(absl::ToUnixSeconds(time));
}

inline v1::Job MadeJob() {
  v1::Job job;
  job.set_name("jobs/17");
  job.set_state(v1::JOB_STATE_RUNNING);
  job.set_reason(v1::REASON_FIRST_STEP);
  job.set_message("training on 2 ranks");
  job.set_ranks(2);
  job.set_steps_executed(130);
  job.set_output_dir("/out/a");
  v1::JobSpec& spec = *job.mutable_spec();
  spec.set_task("pretrain_llm");
  spec.set_display_name("first light");
  spec.set_project("default");
  spec.set_config_name("job.yaml");
  spec.set_config_yaml("model:\n");
  spec.set_working_directory("/w");
  spec.add_overrides("training.epochs=2");
  SetTime(MadeNow() - absl::Minutes(10), job.mutable_create_time());
  v1::Progress& progress = *job.mutable_progress();
  progress.set_phase("training");
  progress.set_step(120);
  progress.set_total_steps(400);
  progress.set_epoch(0.3);
  progress.set_tokens(1234567);
  progress.set_tokens_per_second(2345.6);
  progress.set_eta_seconds(245);
  v1::Attempt& attempt = *job.add_attempts();
  attempt.set_epoch(1);
  attempt.set_state(v1::ATTEMPT_STATE_RUNNING);
  attempt.set_reason(v1::REASON_FIRST_STEP);
  SetTime(MadeNow() - absl::Minutes(9), attempt.mutable_start_time());
  attempt.add_slots(0);
  attempt.add_slots(1);
  attempt.set_first_step(1);
  attempt.set_last_step(120);
  attempt.set_host("node");
  attempt.set_worker_pid(4711);
  v1::CheckpointRef& latest = *job.mutable_latest_checkpoint();
  latest.set_step(100);
  latest.set_epoch(1);
  latest.set_path("/out/a/checkpoint-100");
  latest.set_sha256("0123456789abcdef");
  (*job.mutable_metrics())["loss"] = 2.34113;
  (*job.mutable_metrics())["learning_rate"] = 0.0002;
  return job;
}

}  // namespace anamnesis::cli
