// SPDX-License-Identifier: Apache-2.0
// What it means: verdicts as events, and what belongs to nobody removed.
#include <algorithm>
#include <utility>

#include "services/launch/kubernetes/driver.h"
#include "services/launch/kubernetes/object.h"

namespace anamnesis::launch {
namespace {

constexpr absl::Duration kWaitsAgain = absl::Seconds(10);  // the launch patience is a minute
constexpr absl::Duration kTellEarliest = absl::Seconds(2);
constexpr absl::Duration kUnheardPatience = absl::Seconds(3);  // a restart of it is no outage

}  // namespace

void KubernetesDriver::TellVerdicts() {
  if (!jobs_.synced() || !pods_.synced()) return;
  const absl::Duration now = clock_.Monotonic();
  const bool healthy = jobs_.healthy() && pods_.healthy();
  std::vector<std::pair<AttemptKey, Verdict>> over;
  for (auto& [key, entry] : entries_) {
    if (entry.phase != Entry::Phase::kLive) continue;
    if (!healthy) {  // nothing new is known; what waited is taken to wait on
      if (entry.waits && !entry.tracked.stopping) {
        TellWaits(key, &entry,
                  Cat(entry.waits_for.empty() ? "kubernetes:" : entry.waits_for,
                      " (the API server does not answer)"));
      }
      continue;
    }
    Verdict verdict = Judge(entry.tracked);
    entry.waits = verdict.standing == Standing::kWaits || verdict.standing == Standing::kStuck;
    if (verdict.standing != Standing::kStuck) {
      entry.stuck_since = absl::ZeroDuration();
    } else if (entry.stuck_since == absl::ZeroDuration()) {
      entry.stuck_since = now;
    } else if (now - entry.stuck_since >= options_.start_patience) {
      verdict.standing = Standing::kRefused;
    }
    if (verdict.standing == Standing::kEnded || verdict.standing == Standing::kRefused) {
      over.emplace_back(key, std::move(verdict));
    } else if (entry.waits && !entry.tracked.stopping) {
      entry.waits_for = verdict.message;
      TellWaits(key, &entry, verdict.message);
    }
  }
  for (auto& [key, verdict] : over) {
    if (verdict.standing == Standing::kRefused) {
      FailLaunch(key, verdict.reason, verdict.message);
      continue;
    }
    entries_.erase(key);
    emit_(core::WorkerGone{.job = key.job,
                           .epoch = key.epoch,
                           .reason = verdict.reason,
                           .message = std::move(verdict.message)});
  }
}

void KubernetesDriver::TellWaits(const AttemptKey& key, Entry* entry, const std::string& message) {
  const absl::Duration now = clock_.Monotonic();
  const absl::Duration since = now - entry->told_time;
  if (!entry->told.empty() && since < (message == entry->told ? kWaitsAgain : kTellEarliest)) {
    return;
  }
  entry->told = message;
  entry->told_time = now;
  emit_(core::EngineWaits{.job = key.job, .epoch = key.epoch, .message = message});
}

void KubernetesDriver::TellReachable() {
  const absl::Duration now = clock_.Monotonic();
  const bool healthy = jobs_.healthy() && pods_.healthy();
  if (healthy) {
    healthy_time_ = now;
    if (told_reachable_ || now < next_launch_time_) return;
    told_reachable_ = true;
    emit_(core::EngineSeen{.reachable = true, .message = ""});
  } else if (told_reachable_ && now - healthy_time_ >= kUnheardPatience) {
    told_reachable_ = false;
    emit_(core::EngineSeen{
        .reachable = false,
        .message = Cat("kubernetes: ", jobs_.healthy() ? pods_.problem() : jobs_.problem())});
  }
}

void KubernetesDriver::RemoveOrphans() {
  const absl::Duration now = clock_.Monotonic();
  for (auto& [name, seen] : seen_) {
    if (seen.view.deleting || seen.removing || seen.not_before > now) continue;
    const Entry* entry = Find(seen.key, name);
    if (entry != nullptr && !entry->tracked.stopping) {
      if (!entry->tracked.job || entry->tracked.job->uid == seen.view.uid) continue;
    }
    Remove(name, seen.view.uid);
  }
}

}  // namespace anamnesis::launch
