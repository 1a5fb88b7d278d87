// SPDX-License-Identifier: Apache-2.0
// What the loop does to workers: starts and watches them, grants, tells them to stop, kills them.
#include "common/base/sha256.h"
#include "services/coordinator/convert.h"
#include "services/coordinator/loop.h"

namespace anamnesis::coordinator {

v1::Grant MakeGrant(const core::Job& job, const LoopOptions& options) {
  v1::Grant grant;
  grant.set_epoch(job.attempts.back().epoch);
  *grant.mutable_spec() = ToProto(job.spec);
  grant.set_ranks(static_cast<int32_t>(job.resolved.ranks));
  grant.set_threads_per_rank(static_cast<int32_t>(options.threads_per_slot));
  grant.set_data_directory(options.data_directory);
  grant.set_allow_hub(options.allow_hub);
  grant.set_upload_checkpoints(options.upload_checkpoints);
  if (!options.checkpoint_store.empty()) {
    grant.set_checkpoint_store(
        Cat(options.checkpoint_store, "/jobs/", static_cast<int64_t>(job.id)));
  }
  grant.set_device(options.device);
  grant.set_pin_cpus(options.pin_cpus);
  if (!options.slot_gpus.empty()) {
    for (const int64_t slot : job.attempts.back().slots) {
      // After a start with fewer slots: it runs already.
      if (slot >= static_cast<int64_t>(options.slot_gpus.size())) break;
      grant.add_gpus(options.slot_gpus[static_cast<size_t>(slot)]);
    }
  }
  const int64_t nodes = job.attempts.back().nodes;
  grant.set_nodes(static_cast<int32_t>(nodes));
  grant.set_ranks_per_node(
      static_cast<int32_t>(nodes == 1 ? job.resolved.ranks : options.core.ranks_per_node));
  if (nodes > 1) grant.set_rank_interface(options.rank_interface);
  // The same for all attempts of the job, another for every other job.
  grant.set_run_id(Sha256Hex(Cat(options.data_directory, " ", static_cast<int64_t>(job.id), " ",
                                 absl::ToUnixMicros(job.create_time)))
                       .substr(0, 16));
  grant.set_heartbeat_interval_ms(absl::ToInt64Milliseconds(options.core.heartbeat_interval));
  grant.set_lease_ms(absl::ToInt64Milliseconds(options.core.lease));
  grant.set_acknowledged_sequence(job.acknowledged_sequence);
  if (job.latest_checkpoint) {
    grant.set_committed_step(job.latest_checkpoint->step);
    grant.set_committed_epoch(job.latest_checkpoint->epoch);
    grant.set_committed_sha256(job.latest_checkpoint->sha256);
  }
  return grant;
}

bool Loop::Told::SaysMoreThan(const Told& other) const {
  return epoch != other.epoch || (leave && !other.leave) ||
         deadline + absl::Seconds(1) < other.deadline;
}

void Loop::Launch(core::JobId id) {
  const core::Job& job = *state_.Find(id);
  const core::Attempt& attempt = job.attempts.back();
  const int64_t ranks = job.resolved.ranks;
  std::vector<std::vector<int>> rank_cpus;
  if (!options_.slot_cpus.empty()) {
    for (const int64_t slot : attempt.slots) {
      rank_cpus.push_back(options_.slot_cpus[static_cast<size_t>(slot)]);
    }
  }
  parts_.launcher.Launch(
      {.job = id,
       .epoch = attempt.epoch,
       .token = attempt.token,
       .worker_address = worker_address_,
       .ranks = ranks,
       .nodes = attempt.nodes,
       .ranks_per_node = attempt.nodes == 1 ? ranks : options_.core.ranks_per_node,
       .threads_per_rank = options_.threads_per_slot,
       .display_name = job.spec.display_name,
       .project = job.spec.project,
       .rank_cpus = std::move(rank_cpus)});
}

void Loop::TellStop(core::JobId job, int64_t epoch, absl::Duration grace, bool leave) {
  const Told now{.epoch = epoch, .leave = leave, .deadline = Now().monotonic + grace};
  const auto told = told_stop_.find(job);
  if (told != told_stop_.end() && !now.SaysMoreThan(told->second)) return;
  v1::SessionResponse message;
  message.mutable_stop()->set_epoch(epoch);
  message.mutable_stop()->set_grace_ms(leave ? 0 : absl::ToInt64Milliseconds(grace));
  message.mutable_stop()->set_leave(leave);
  // The worker that leads tells the gang to save; all are told to leave.
  const bool told_now = leave ? parts_.sessions.PushToAll(job, message)
                              : parts_.sessions.Push(job, std::move(message));
  if (told_now) told_stop_[job] = now;
}

void Loop::Kill(const core::Kill& kill) {
  const auto told = told_kill_.find(kill.job);
  if (told != told_kill_.end() && (told->second || !kill.at_once)) return;
  if (parts_.launcher.Stop(kill.job, kill.at_once)) {
    told_kill_[kill.job] = kill.at_once;
  } else {  // never launched, as far as anybody knows
    Post(core::WorkerGone{.job = kill.job, .epoch = kill.epoch, .message = "no worker process"});
  }
}

}  // namespace anamnesis::coordinator
