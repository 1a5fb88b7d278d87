// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/driver.h"

#include <algorithm>
#include <utility>

#include "services/launch/kubernetes/object.h"

namespace anamnesis::launch {
namespace {

constexpr absl::Duration kWaitsAgain = absl::Seconds(10);  // the launch patience is a minute
constexpr absl::Duration kTellEarliest = absl::Seconds(2);
constexpr absl::Duration kRemoveAgain = absl::Seconds(5);
constexpr absl::Duration kFirstLaunchBackoff = absl::Seconds(5),
                         kLastLaunchBackoff = absl::Minutes(1);
constexpr absl::Duration kUnheardPatience = absl::Seconds(3);  // a restart of it is no outage
constexpr absl::Duration kTick = absl::Seconds(1);

ApiAccess AccessOf(const KubernetesOptions& options) {
  return {.server = options.api_server,
          .token_file = options.token_file,
          .ca_file = options.ca_file,
          .deadline = options.request_deadline,
          .requests_per_second = options.requests_per_second};
}

std::string Collection(const KubernetesOptions& options, const char* group) {
  return Cat(group, "/namespaces/", options.name_space);
}

std::string Labelled(const KubernetesOptions& options) {
  return Cat("labelSelector=", QueryEscaped(LabelSelector(options)));
}

core::Reason ReasonOf(ApiProblem problem) {
  switch (problem) {
    case ApiProblem::kInvalid:
    case ApiProblem::kNotFound:
      return core::Reason::kInvalidInput;
    case ApiProblem::kConflict:
    case ApiProblem::kGone:
      return core::Reason::kLaunchFailed;
    default:  // no answer, no permission, no quota left: comes right when somebody acts
      return core::Reason::kEngineUnreachable;
  }
}

std::string HandleOf(const KubernetesOptions& options, const std::string& name,
                     const std::string& uid) {
  return Cat("kubernetes:", options.name_space, "/", name, "/", uid);
}

// The uid of a handle; "" for one that is none.
std::string UidOf(const std::string& handle) {
  const size_t slash = handle.rfind('/');
  return slash == std::string::npos ? "" : handle.substr(slash + 1);
}

// The collection of an owner's kind, and its group.
struct OwnerKind {
  const char* kind;
  const char* api_version;
  const char* group;  // as in a path
  const char* collection;
};
constexpr OwnerKind kOwnerKinds[] = {
    {"StatefulSet", "apps/v1", "/apis/apps/v1", "statefulsets"},
    {"Deployment", "apps/v1", "/apis/apps/v1", "deployments"},
    {"Pod", "v1", "/api/v1", "pods"},
    {"ConfigMap", "v1", "/api/v1", "configmaps"},
};

}  // namespace

KubernetesDriver::KubernetesDriver(KubernetesOptions options, const Clock& clock, Emit emit)
    : options_(std::move(options)),
      clock_(clock),
      emit_(std::move(emit)),
      client_(AccessOf(options_), clock),
      jobs_(Collection(options_, "/apis/batch/v1") + "/jobs", Labelled(options_), client_, clock,
            [this](const ObjectChange& change) { OnJob(change); }),
      pods_(Collection(options_, "/api/v1") + "/pods", Labelled(options_), client_, clock,
            [this](const ObjectChange& change) { OnPod(change); }),
      warnings_(Collection(options_, "/api/v1") + "/events",
                "fieldSelector=" + QueryEscaped("involvedObject.kind=Job,reason=FailedCreate"),
                client_, clock, [this](const ObjectChange& change) { OnWarning(change); }),
      healthy_time_(clock.Monotonic()) {}

KubernetesDriver::Entry* KubernetesDriver::Find(const AttemptKey& key) {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

std::string KubernetesDriver::Path(const char* collection, const std::string& name) const {
  const bool is_job = std::string_view(collection) == "jobs";
  return Cat(Collection(options_, is_job ? "/apis/batch/v1" : "/api/v1"), "/", collection,
             name.empty() ? "" : "/", name);
}

// --- launching

void KubernetesDriver::Apply(const char* collection, const Json& object,
                             ApiClient::OnAnswer on_answer) {
  client_.Ask({.method = "PATCH",
               .path = Cat(Path(collection, TextAt(object, {"metadata", "name"})),
                           "?fieldManager=anamnesis&force=true"),
               .body = object.dump(-1, ' ', false, Json::error_handler_t::replace),
               .content_type = "application/apply-patch+yaml"},
              std::move(on_answer));
}

void KubernetesDriver::Launch(const LaunchRequest& request) {
  const AttemptKey key{request.job, request.epoch};
  Entry entry;
  entry.request = request;
  entry.name = ObjectName(options_, key);
  entries_[key] = std::move(entry);
  if (!options_.owner.empty() && !owner_) {
    waiting_for_owner_.push_back(key);
    return FindOwner();
  }
  ApplyJob(key);
}

void KubernetesDriver::FindOwner() {
  if (finding_owner_) return;
  const size_t slash = options_.owner.find('/');
  const std::string kind = options_.owner.substr(0, slash);
  const std::string name = options_.owner.substr(slash + 1);
  const auto* known = std::find_if(std::begin(kOwnerKinds), std::end(kOwnerKinds),
                                   [&](const OwnerKind& entry) { return kind == entry.kind; });
  if (known == std::end(kOwnerKinds)) return;  // the options were checked
  finding_owner_ = true;
  client_.Ask({.path = Cat(Collection(options_, known->group), "/", known->collection, "/", name)},
              [this, known, name](const ApiAnswer& answer) {
                finding_owner_ = false;
                const std::vector<AttemptKey> waiting = std::exchange(waiting_for_owner_, {});
                const StatusOr<Json> object = ParseJson(answer.body, "the owner");
                const std::string uid = object.ok() ? TextAt(*object, {"metadata", "uid"}) : "";
                if (answer.problem() == ApiProblem::kNone && !uid.empty()) {
                  owner_ = OwnerObject{known->api_version, known->kind, name, uid};
                }
                for (const AttemptKey& key : waiting) {
                  if (owner_) {
                    ApplyJob(key);
                  } else {
                    FailLaunch(key, core::Reason::kEngineUnreachable,
                               Cat("kubernetes: the owner ", options_.owner, ": ", answer.words()));
                  }
                }
              });
}

void KubernetesDriver::ApplyJob(const AttemptKey& key) {
  Entry* entry = Find(key);
  if (entry == nullptr) return;
  if (entry->tracked.stopping) {
    entries_.erase(key);
    return emit_(core::WorkerGone{.job = key.job,
                                  .epoch = key.epoch,
                                  .reason = core::Reason::kEngineCancelled,
                                  .message = "kubernetes: stopped before it was launched"});
  }
  Apply("jobs", JobManifest(options_, entry->request, owner_),
        [this, key](const ApiAnswer& answer) { OnJobApplied(key, answer); });
}

void KubernetesDriver::OnJobApplied(const AttemptKey& key, const ApiAnswer& answer) {
  Entry* entry = Find(key);
  if (entry == nullptr) return;  // stopped meanwhile; the Job, if any, belongs to nobody
  const StatusOr<Json> object = ParseJson(answer.body, "a Job");
  const std::string uid = object.ok() ? TextAt(*object, {"metadata", "uid"}) : "";
  if (answer.problem() != ApiProblem::kNone || uid.empty()) {
    return FailLaunch(key, ReasonOf(answer.problem()),
                      Cat("kubernetes: Job ", entry->name, ": ", answer.words()));
  }
  TrackedAttempt& tracked = entry->tracked;
  if (!tracked.was_seen) tracked.job = ReadJob(*object);  // else the watch knows better
  tracked.was_seen = true;
  const OwnerObject job{"batch/v1", "Job", entry->name, uid};
  entry->parts_left = 2;
  Apply("secrets", SecretManifest(options_, key, std::exchange(entry->request.token, {}), job),
        [this, key](const ApiAnswer& part) { OnPartApplied(key, "Secret", part); });
  Apply("services", ServiceManifest(options_, key, job),
        [this, key](const ApiAnswer& part) { OnPartApplied(key, "Service", part); });
}

void KubernetesDriver::OnPartApplied(const AttemptKey& key, const char* what,
                                     const ApiAnswer& answer) {
  Entry* entry = Find(key);
  if (entry == nullptr) return;
  if (answer.problem() != ApiProblem::kNone) {
    return FailLaunch(key, ReasonOf(answer.problem()),
                      Cat("kubernetes: ", what, " ", entry->name, ": ", answer.words()));
  }
  if (--entry->parts_left > 0) return;
  entry->phase = Entry::Phase::kLive;
  launch_backoff_ = absl::ZeroDuration();
  TellLaunched(key, *entry);
}

void KubernetesDriver::TellLaunched(const AttemptKey& key, const Entry& entry) {
  const std::string uid = entry.tracked.job ? entry.tracked.job->uid : entry.known_uid;
  core::WorkerProcess worker;
  worker.handle = HandleOf(options_, entry.name, uid);
  emit_(core::Launched{.job = key.job, .epoch = key.epoch, .worker = worker});
}

void KubernetesDriver::FailLaunch(const AttemptKey& key, core::Reason reason,
                                  const std::string& message) {
  // What was created of it belongs to nobody now, and is removed.
  entries_.erase(key);
  emit_(
      core::LaunchFailed{.job = key.job, .epoch = key.epoch, .message = message, .reason = reason});
  if (reason != core::Reason::kEngineUnreachable) return;
  // The coordinator launches nothing more until it is told that it may.
  told_reachable_ = false;
  if (next_launch_time_ > clock_.Monotonic()) return;
  launch_backoff_ = std::clamp(2 * launch_backoff_, kFirstLaunchBackoff, kLastLaunchBackoff);
  next_launch_time_ = clock_.Monotonic() + launch_backoff_;
}

// --- stopping

void KubernetesDriver::Stop(core::JobId job, bool at_once) {
  for (auto& [key, entry] : entries_) {
    if (key.job != job) continue;
    entry.tracked.stopping = true;
    if (at_once) KillPods(key);
    if (entry.tracked.job) Remove(entry.name, entry.tracked.job->uid);
  }
}

void KubernetesDriver::StopAll() {
  for (auto& [key, entry] : entries_) Stop(key.job, /*at_once=*/true);
}

// The Job goes once its pods are gone (foreground), and takes Secret and Service with it.
void KubernetesDriver::Remove(const std::string& name, const std::string& uid) {
  const auto seen = seen_.find(name);
  if (seen != seen_.end()) {
    if (seen->second.removing || seen->second.view.deleting) return;
    seen->second.removing = true;
  }
  const Json options = {{"propagationPolicy", "Foreground"}, {"preconditions", {{"uid", uid}}}};
  client_.Ask({.method = "DELETE",
               .path = Path("jobs", name),
               .body = options.dump(),
               .content_type = "application/json"},
              [this, name](const ApiAnswer&) {
                // Whatever the answer: the watch tells when it is gone; till then it is tried
                // again.
                const auto found = seen_.find(name);
                if (found == seen_.end()) return;
                found->second.removing = false;
                found->second.not_before = clock_.Monotonic() + kRemoveAgain;
              });
}

void KubernetesDriver::KillPods(const AttemptKey& key) {
  const std::string selector = Cat(LabelSelector(options_), ",", kJobLabel, "=",
                                   static_cast<int64_t>(key.job), ",", kEpochLabel, "=", key.epoch);
  const Json options = {{"gracePeriodSeconds", 0}};
  client_.Ask({.method = "DELETE",
               .path = Cat(Path("pods"), "?labelSelector=", QueryEscaped(selector)),
               .body = options.dump(),
               .content_type = "application/json"},
              [](const ApiAnswer&) {});
}

// --- what is seen

void KubernetesDriver::OnJob(const ObjectChange& change) {
  if (change.deleted) {
    const auto seen = seen_.find(change.name);
    if (seen == seen_.end() || seen->second.view.uid != change.uid) return;
    if (Entry* entry = Find(seen->second.key)) {
      if (entry->tracked.job && entry->tracked.job->uid == change.uid) entry->tracked.job.reset();
    }
    seen_.erase(seen);
    return;
  }
  const std::optional<AttemptKey> key = KeyOfLabels(MemberOf(change.object, "metadata"));
  if (!key || ObjectName(options_, *key) != change.name) return;
  SeenJob& seen = seen_[change.name];
  seen.key = *key;
  seen.view = ReadJob(change.object);
  Entry* entry = Find(*key);
  if (entry == nullptr) return;
  if (!entry->known_uid.empty() && entry->known_uid != change.uid) return;  // another of that name
  entry->tracked.job = seen.view;
  entry->tracked.was_seen = true;
}

void KubernetesDriver::OnPod(const ObjectChange& change) {
  if (change.deleted) {
    const auto known = pod_attempts_.find(change.name);
    if (known == pod_attempts_.end()) return;
    if (Entry* entry = Find(known->second)) {
      if (change.object.is_object()) TakePod(ReadPod(change.object), &entry->tracked);
      RemovePod(change.name, &entry->tracked);
    }
    pod_attempts_.erase(known);
    return;
  }
  const std::optional<AttemptKey> key = KeyOfLabels(MemberOf(change.object, "metadata"));
  if (!key) return;
  pod_attempts_[change.name] = *key;
  if (Entry* entry = Find(*key)) TakePod(ReadPod(change.object), &entry->tracked);
}

void KubernetesDriver::OnWarning(const ObjectChange& change) {
  if (change.deleted) return;
  const std::string uid = TextAt(change.object, {"involvedObject", "uid"});
  const auto seen = seen_.find(TextAt(change.object, {"involvedObject", "name"}));
  if (seen == seen_.end() || seen->second.view.uid != uid) return;
  if (Entry* entry = Find(seen->second.key)) {
    entry->tracked.create_warning = OneLine(TextAt(change.object, {"message"}));
  }
}

// --- after a restart

void KubernetesDriver::Reconcile(const std::vector<Known>& known) {
  for (const Known& attempt : known) {
    const AttemptKey key{attempt.job, attempt.epoch};
    Entry entry;
    entry.name = ObjectName(options_, key);
    entry.known_uid = UidOf(attempt.worker.handle);
    entry.phase = Entry::Phase::kAdopted;
    entries_.emplace(key, std::move(entry));
  }
  reconciled_ = true;
}

// Once, when everything that is there has been listed.
void KubernetesDriver::AdoptKnown() {
  adopted_ = true;
  std::vector<AttemptKey> gone;
  for (auto& [key, entry] : entries_) {
    if (entry.phase != Entry::Phase::kAdopted) continue;
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
  client_.Ask(
      {.path = Path("secrets", ObjectName(options_, key))}, [this, key](const ApiAnswer& answer) {
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

// --- what it means

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
    const Entry* entry = Find(seen.key);
    if (entry != nullptr && !entry->tracked.stopping) {
      if (!entry->tracked.job || entry->tracked.job->uid == seen.view.uid) continue;
    }
    Remove(name, seen.view.uid);
  }
}

absl::Duration KubernetesDriver::UntilTurn() const {
  if (!reconciled_) return kTick;
  return std::min({kTick, jobs_.UntilTurn(), pods_.UntilTurn(), warnings_.UntilTurn()});
}

void KubernetesDriver::Run(absl::Duration at_most) {
  if (reconciled_) {  // what is seen before is nobody's
    jobs_.Turn();
    pods_.Turn();
    warnings_.Turn();
  }
  client_.Run(std::min(at_most, UntilTurn()));
  if (reconciled_ && !adopted_ && jobs_.synced() && pods_.synced()) AdoptKnown();
  if (adopted_) RemoveOrphans();
  TellVerdicts();
  if (reconciled_) TellReachable();
}

}  // namespace anamnesis::launch
