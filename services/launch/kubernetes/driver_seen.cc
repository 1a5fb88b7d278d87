// SPDX-License-Identifier: Apache-2.0
// What the watches show, and what is taken up after a restart.
#include <algorithm>
#include <utility>

#include "services/launch/kubernetes/driver.h"
#include "services/launch/kubernetes/object.h"

namespace anamnesis::launch {
namespace {

// The name of a handle's Job; "" for one that is none.
std::string NameOfHandle(const std::string& handle) {
  const size_t begin = handle.find('/'), end = handle.rfind('/');
  return begin == end ? "" : handle.substr(begin + 1, end - begin - 1);
}

// The uid of a handle; "" for one that is none.
std::string UidOf(const std::string& handle) {
  const size_t slash = handle.rfind('/');
  return slash == std::string::npos ? "" : handle.substr(slash + 1);
}

}  // namespace

void KubernetesDriver::OnJob(const ObjectChange& change) {
  if (change.deleted) {
    const auto seen = seen_.find(change.name);
    if (seen == seen_.end() || seen->second.view.uid != change.uid) return;
    if (Entry* entry = Find(seen->second.key, change.name)) {
      if (entry->tracked.job && entry->tracked.job->uid == change.uid) entry->tracked.job.reset();
    }
    seen_.erase(seen);
    return;
  }
  const std::optional<AttemptKey> key = KeyOfLabels(MemberOf(change.object, "metadata"));
  if (!key) return;
  SeenJob& seen = seen_[change.name];
  seen.key = *key;
  seen.view = ReadJob(change.object);
  Entry* entry = Find(*key, change.name);
  if (entry == nullptr) return;
  if (!entry->known_uid.empty() && entry->known_uid != change.uid) return;  // another of that name
  entry->tracked.job = seen.view;
  entry->tracked.was_seen = true;
}

void KubernetesDriver::OnPod(const ObjectChange& change) {
  if (change.deleted) {
    const auto known = seen_pods_.find(change.name);
    if (known == seen_pods_.end()) return;
    if (Entry* entry = Find(known->second.key, known->second.job)) {
      if (change.object.is_object()) TakePod(ReadPod(change.object), &entry->tracked);
      RemovePod(change.name, &entry->tracked);
    }
    seen_pods_.erase(known);
    return;
  }
  const std::optional<AttemptKey> key = KeyOfLabels(MemberOf(change.object, "metadata"));
  if (!key) return;
  const std::string job = TextAt(change.object, {"metadata", "labels", kJobNameLabel});
  PodView view = ReadPod(change.object);
  SeenPod& seen = seen_pods_[change.name];
  seen = {.key = *key, .job = job, .view = adopted_ ? PodView() : view};
  if (Entry* entry = Find(*key, job)) TakePod(std::move(view), &entry->tracked);
}

void KubernetesDriver::OnWarning(const ObjectChange& change) {
  if (change.deleted) return;
  const std::string uid = TextAt(change.object, {"involvedObject", "uid"});
  const auto seen = seen_.find(TextAt(change.object, {"involvedObject", "name"}));
  if (seen == seen_.end() || seen->second.view.uid != uid) return;
  if (Entry* entry = Find(seen->second.key, seen->first)) {
    entry->tracked.create_warning = OneLine(TextAt(change.object, {"message"}));
  }
}

// --- after a restart

void KubernetesDriver::Reconcile(const std::vector<Known>& known) {
  for (const Known& attempt : known) {
    const AttemptKey key{attempt.job, attempt.epoch};
    Entry entry;
    entry.name = NameOfHandle(attempt.worker.handle);
    entry.known_uid = UidOf(attempt.worker.handle);
    entry.phase = Entry::Phase::kAdopted;
    entries_.emplace(key, std::move(entry));
  }
  reconciled_ = true;
}

// The Job of an attempt whose launch was not recorded; "" where there is none.
std::string KubernetesDriver::NameOfSeen(const AttemptKey& key) const {
  for (const auto& [name, seen] : seen_) {
    if (seen.key == key && !seen.view.deleting) return name;
  }
  return "";
}

// Once, when everything that is there has been listed.
void KubernetesDriver::AdoptKnown() {
  adopted_ = true;
  std::vector<AttemptKey> gone;
  for (auto& [key, entry] : entries_) {
    if (entry.phase != Entry::Phase::kAdopted) continue;
    if (entry.name.empty()) {
      entry.name = NameOfSeen(key);
      for (const auto& [name, pod] : seen_pods_) {
        if (pod.job == entry.name) TakePod(pod.view, &entry.tracked);
      }
    }
    const auto seen = seen_.find(entry.name);
    if (seen == seen_.end() ||
        (!entry.known_uid.empty() && seen->second.view.uid != entry.known_uid)) {
      gone.push_back(key);
      continue;
    }
    entry.tracked.job = seen->second.view;
    entry.tracked.was_seen = true;
    if (entry.known_uid.empty()) ConfirmAdopted(key);
    if (!entry.known_uid.empty()) entry.phase = Entry::Phase::kLive;
  }
  for (const AttemptKey& key : gone) {
    const std::string name = entries_[key].name;
    entries_.erase(key);
    emit_(core::WorkerGone{
        .job = key.job,
        .epoch = key.epoch,
        .reason = core::Reason::kWorkerLost,
        .message = Cat("kubernetes: the Job ", name, " went while no coordinator was there")});
  }
}

// The coordinator ended between the launch and its record: whole only with its Secret.
void KubernetesDriver::ConfirmAdopted(const AttemptKey& key) {
  client_.Ask({.path = Path("secrets", entries_[key].name)}, [this, key](const ApiAnswer& answer) {
    Entry* entry = Find(key);
    if (entry == nullptr) return;
    if (answer.problem() != ApiProblem::kNone) {
      return FailLaunch(key, core::Reason::kEngineUnreachable,
                        "kubernetes: the launch was cut short by the coordinator's end");
    }
    entry->phase = Entry::Phase::kLive;
    TellLaunched(key, *entry);
  });
}

}  // namespace anamnesis::launch
