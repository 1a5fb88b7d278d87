// SPDX-License-Identifier: Apache-2.0
// Values for the store's tests: a job with nothing at its default, and a comparison that stops
// compiling when a noun gets a member it does not know.
#pragma once

#include <bit>
#include <cmath>
#include <tuple>

#include "services/store/store.h"

namespace anamnesis::store {

inline auto Members(const core::JobSpec& value) {
  const auto& [a, b, c, d, e, f, g, h, i] = value;
  return std::tie(a, b, c, d, e, f, g, h, i);
}
inline auto Members(const core::Resolved& value) {
  const auto& [a, b, c, d] = value;
  return std::tie(a, b, c, d);
}
inline auto Members(const core::WorkerProcess& value) {
  const auto& [a, b, c, d, e] = value;
  return std::tie(a, b, c, d, e);
}
inline auto Members(const core::Failure& value) {
  const auto& [a, b, c] = value;
  return std::tie(a, b, c);
}
inline auto Members(const core::Attempt& value) {
  const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = value;
  return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
}
inline auto Members(const core::Checkpoint& value) {
  const auto& [a, b, c, d, e] = value;
  return std::tie(a, b, c, d, e);
}
inline auto Members(const core::Transition& value) {
  const auto& [a, b, c, d, e, f, g] = value;
  return std::tie(a, b, c, d, e, f, g);
}
inline auto Members(const core::Progress& value) {
  const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = value;
  return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
}
inline auto Members(const core::DataFacts& value) {
  const auto& [a, b, c, d, e] = value;
  return std::tie(a, b, c, d, e);
}
inline auto Members(const core::Job& value) {
  const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y] = value;
  return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y);
}

template <typename T>
bool Same(const T& a, const T& b);
template <typename T>
bool Same(const std::optional<T>& a, const std::optional<T>& b) {
  return a.has_value() == b.has_value() && (!a.has_value() || Same(*a, *b));
}
template <typename T>
bool Same(const std::vector<T>& a, const std::vector<T>& b) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); ++i) same = Same(a[i], b[i]);
  return same;
}
// Every member of both, one by one; `any`: whether one pair is the same rather than all.
template <typename T>
bool SameMembers(const T& a, const T& b, bool any) {
  return std::apply(
      [&](const auto&... left) {
        return std::apply(
            [&](const auto&... right) {
              return any ? (Same(left, right) || ...) : (Same(left, right) && ...);
            },
            Members(b));
      },
      Members(a));
}
template <typename T>
bool Same(const T& a, const T& b) {
  if constexpr (requires { Members(a); }) {
    return SameMembers(a, b, /*any=*/false);
  } else if constexpr (std::is_same_v<T, double>) {
    return std::isnan(a) ? std::isnan(b) : std::bit_cast<int64_t>(a) == std::bit_cast<int64_t>(b);
  } else {
    return a == b;
  }
}

inline absl::Time At(int64_t second) {
  return absl::FromUnixSeconds(1'790'000'000 + second) + absl::Microseconds(123'457);
}

inline core::Checkpoint MakeCheckpoint(int64_t step, int64_t epoch) {
  return {.step = step,
          .epoch = epoch,
          .path = "/out/checkpoint-" + std::to_string(step),
          .sha256 = "abc" + std::to_string(epoch),
          .commit_time = At(step)};
}

inline core::Job MakeJob(int64_t id) {
  core::Job job;
  job.id = core::JobId{id};
  job.request_id = "request-" + std::to_string(id);
  job.spec.config_yaml = "seed: 1\n";
  job.create_time = job.update_time = At(id);
  return job;
}

inline core::Attempt FullAttempt() {
  return {.epoch = 1,
          .state = core::AttemptState::kLost,
          .reason = core::Reason::kLeaseExpired,
          .message = "no heartbeat",
          .slots = {0, 3},
          .nodes = 2,
          .token = "secret",
          .worker = {.host = "node-1",
                     .boot_id = "b",
                     .pid = 4'000'000'000,
                     .start_ticks = 5,
                     .handle = "slurm:4711"},
          .start_time = At(1),
          .end_time = At(2),
          .first_step = 1,
          .last_step = 7,
          .resumed_step = 4,
          .kept_ranks = {1},
          .reattached = 2,
          .holds_slots = false};
}

// No member, at any depth, has its default.
inline core::Job FullJob() {
  core::Job job = MakeJob(17);
  job.spec = {.task = "pretrain_llm",
              .config_yaml = "a: \"x\"\n\xC3\xA9\n\xFF",  // verbatim, also what is no UTF-8
              .overrides = {"training.epochs=2", "\"quoted\""},
              .working_directory = "/home",
              .config_name = "c.yaml",
              .display_name = "té",
              .project = "p",
              .priority = -3,
              .after = core::JobId{9}};
  job.resolved = {.spec_json = R"({"k":[1,2]})", .output_dir = "/out", .ranks = 2, .notes = {"n"}};
  job.state = core::JobState::kRecovering;
  job.reason = core::Reason::kRankFailed;
  job.message = "rank 1: killed\nby signal 9";
  job.start_time = At(3);
  job.end_time = absl::InfiniteFuture();
  job.attempts = {FullAttempt(), FullAttempt()};
  job.attempts[1].epoch = 2;
  job.latest_checkpoint = MakeCheckpoint(4, 1);
  job.progress = {.phase = "shards",
                  .done = 1,
                  .total = 2,
                  .eta_seconds = 1.5,
                  .step = 3,
                  .total_steps = 4,
                  .epoch = 0.1,
                  .tokens = int64_t{1} << 62,
                  .tokens_per_second = 1e300,
                  .step_seconds = 5e-324,
                  .loss = std::nan(""),
                  .learning_rate = 1.0 / 3,
                  .grad_norm = std::numeric_limits<double>::infinity(),
                  .tuning_loss = -0.0,
                  .train_seconds = 90.5,
                  .evaluation_seconds = 9.5};
  job.steps_executed = 9;
  job.acknowledged_sequence = 10;
  job.final_sha256 = "f";
  job.final_path = "/out/final_model";
  job.wandb_folder = "/out/wandb/offline-run-1";
  job.evaluation = {{"held_out_auroc", 0.75}, {"held_out_loss", 0.5}};
  job.data = {.medical_coverage = 0.5,
              .lab_coverage = 0.25,
              .truncated_token_share = 0.125,
              .train_documents = 7,
              .class_shares = {0.75, 0.25}};
  job.failures = {{.reason = core::Reason::kOutOfMemory, .message = "oom", .last_step = 2}};
  job.retry_time = At(5);
  job.stop_grace = absl::Seconds(90);
  job.stop_deadline = At(6);
  return job;
}

inline core::Transition MakeTransition(int64_t epoch) {
  return {.time = At(epoch),
          .from = core::JobState::kStarting,
          .to = core::JobState::kRunning,
          .reason = core::Reason::kFirstStep,
          .actor = "uid:1000",
          .epoch = epoch,
          .message = "step 1"};
}

// The batch that stores `job` alone; `job` lives until it is written.
inline Batch Of(const core::Job& job) {
  Batch batch;
  batch.jobs[job.id] = &job;
  return batch;
}

}  // namespace anamnesis::store
