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
  // The same for all attempts of the job, another for every other job.
  grant.set_run_id(Sha256Hex(Cat(options.data_directory, " ", static_cast<int64_t>(job.id), " ",
                                 absl::ToUnixMicros(job.create_time)))
                       .substr(0, 16));
  grant.set_heartbeat_interval_ms(absl::ToInt64Milliseconds(options.core.heartbeat_interval));
  grant.set_lease_ms(absl::ToInt64Milliseconds(options.core.lease));
  grant.set_acknowledged_sequence(job.acknowledged_sequence);
  grant.set_committed_step(job.latest_checkpoint ? job.latest_checkpoint->step : 0);
  return grant;
}

bool Loop::Told::SaysMoreThan(const Told& other) const {
  return epoch != other.epoch || (leave && !other.leave) ||
         deadline + absl::Seconds(1) < other.deadline;
}

void Loop::Launch(core::JobId job, int64_t epoch, const std::string& token) {
  const StatusOr<core::WorkerProcess> worker = parts_.launcher.Launch(job, epoch, token);
  if (worker.ok()) {
    Post(core::Launched{.job = job, .epoch = epoch, .worker = *worker});
  } else {
    Post(core::LaunchFailed{.job = job, .epoch = epoch, .message = MessageOf(worker.status())});
  }
}

// A worker whose launch was not recorded (the coordinator ended in between) is watched from when it
// comes; its token has proved that it is the one.
void Loop::WatchAttached(core::JobId job) {
  const core::Attempt& attempt = state_.Find(job)->attempts.back();
  if (!attempt.worker.boot_id.empty() || parts_.launcher.Watches(job)) return;
  const StatusOr<ProcessIdentity> identity = IdentityOf(attempt.worker.pid);
  const StatusOr<std::string> boot_id = BootId();
  if (!identity.ok() || !boot_id.ok()) return;  // its lease runs out
  const core::WorkerProcess worker{.host = attempt.worker.host,
                                   .boot_id = *boot_id,
                                   .pid = identity->pid,
                                   .start_ticks = identity->start_ticks};
  if (!parts_.launcher.Adopt(job, worker).ok()) return;
  Post(core::Launched{.job = job, .epoch = attempt.epoch, .worker = worker});
}

void Loop::TellStop(core::JobId job, int64_t epoch, absl::Duration grace, bool leave) {
  const Told now{.epoch = epoch, .leave = leave, .deadline = Now().monotonic + grace};
  const auto told = told_stop_.find(job);
  if (told != told_stop_.end() && !now.SaysMoreThan(told->second)) return;
  v1::SessionResponse message;
  message.mutable_stop()->set_epoch(epoch);
  message.mutable_stop()->set_grace_ms(leave ? 0 : absl::ToInt64Milliseconds(grace));
  message.mutable_stop()->set_leave(leave);
  if (parts_.sessions.Push(job, std::move(message))) told_stop_[job] = now;
}

void Loop::Kill(const core::Kill& kill) {
  const auto told = told_kill_.find(kill.job);
  if (told != told_kill_.end() && (told->second || !kill.at_once)) return;
  if (parts_.launcher.Kill(kill.job, kill.at_once)) {
    told_kill_[kill.job] = kill.at_once;
  } else {  // never launched, as far as anybody knows
    Post(core::WorkerGone{.job = kill.job, .epoch = kill.epoch, .message = "no worker process"});
  }
}

}  // namespace anamnesis::coordinator
