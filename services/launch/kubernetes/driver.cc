// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/driver.h"

#include <algorithm>
#include <utility>

#include "services/launch/kubernetes/object.h"

namespace anamnesis::launch {
namespace {

constexpr absl::Duration kRemoveAgain = absl::Seconds(5);
constexpr absl::Duration kFirstLaunchBackoff = absl::Seconds(5),
                         kLastLaunchBackoff = absl::Minutes(1);
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

KubernetesDriver::Entry* KubernetesDriver::Find(const AttemptKey& key, const std::string& name) {
  Entry* entry = Find(key);
  return entry != nullptr && entry->name == name ? entry : nullptr;
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
  entry.name = ObjectName(options_, request);
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
    if (at_once) KillPods(entry.name);
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

void KubernetesDriver::KillPods(const std::string& name) {
  const std::string selector = Cat(LabelSelector(options_), ",", kJobNameLabel, "=", name);
  const Json options = {{"gracePeriodSeconds", 0}};
  client_.Ask({.method = "DELETE",
               .path = Cat(Path("pods"), "?labelSelector=", QueryEscaped(selector)),
               .body = options.dump(),
               .content_type = "application/json"},
              [](const ApiAnswer&) {});
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
