// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/judge.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "services/launch/kubernetes/object.h"

namespace anamnesis::launch {
namespace {

constexpr char kIndexAnnotation[] = "batch.kubernetes.io/job-completion-index";

// The status of our container; null before there is one.
const Json& WorkerStatusOf(const Json& pod) {
  const Json& statuses = ValueAt(pod, {"status", "containerStatuses"});
  if (statuses.is_array()) {
    for (const Json& status : statuses) {
      if (TextAt(status, {"name"}) == kWorkerContainer) return status;
    }
  }
  return MemberOf(statuses, "");  // null
}

int64_t IndexOf(const Json& pod) {
  const std::string text = TextAt(pod, {"metadata", "annotations", kIndexAnnotation});
  int64_t index = -1;
  std::from_chars(text.data(), text.data() + text.size(), index);
  return index;
}

// Waiting reasons of a container that hardly come right alone. The others (ContainerCreating,
// PodInitializing) are steps of the way.
bool CannotStart(const std::string& reason) {
  static constexpr std::array kReasons = {
      "ErrImagePull",        "ImagePullBackOff",           "ErrImageNeverPull",
      "RegistryUnavailable", "CreateContainerConfigError", "CreateContainerError",
      "RunContainerError",   "ImageInspectError",          "SignatureValidationFailed"};
  return std::find(kReasons.begin(), kReasons.end(), reason) != kReasons.end();
}

core::Reason ReasonOfDisruption(const std::string& disruption) {
  if (disruption == "DeletionByTaintManager" || disruption == "DeletionByPodGC") {
    return core::Reason::kNodeLost;
  }
  return core::Reason::kPreempted;  // by the scheduler, by an eviction, by the kubelet's pressure
}

std::string Joined(const std::string& reason, const std::string& message) {
  return message.empty() ? reason : Cat(reason, ": ", message);
}

std::string WhereOf(const PodView& pod) {
  return pod.node.empty() ? Cat("pod ", pod.name) : Cat("pod ", pod.name, " on ", pod.node);
}

// What a pod's state tells of a failure; nothing while it tells none.
std::optional<Evidence> EvidenceOf(const PodView& pod) {
  using Weight = Evidence::Weight;
  const auto found = [&](core::Reason reason, Weight weight, const std::string& what) {
    return Evidence{reason, Cat("kubernetes: ", WhereOf(pod), what), weight};
  };
  const std::string end = Joined(pod.end_reason, pod.end_message);
  const bool node_ends = pod.end_reason == "NodeLost" || pod.end_reason == "NodeShutdown" ||
                         pod.end_reason == "Shutdown" || pod.end_reason == "Terminated";
  if (pod.end_reason == "OOMKilled") {
    return found(core::Reason::kOutOfMemory, Weight::kMemory,
                 " used more memory than its limit (OOMKilled); raise memory_per_rank");
  }
  if (!pod.disruption.empty()) {
    return found(node_ends ? core::Reason::kNodeLost : ReasonOfDisruption(pod.disruption),
                 Weight::kDisruption, ": " + Joined(pod.disruption, pod.disruption_message));
  }
  if (node_ends) return found(core::Reason::kNodeLost, Weight::kDisruption, ": " + end);
  if (pod.end_reason == "Evicted" || pod.end_reason == "Preempting") {
    return found(core::Reason::kPreempted, Weight::kDisruption, ": " + end);
  }
  if (pod.deleting) return found(core::Reason::kPreempted, Weight::kDeletion, " was deleted");
  if (pod.phase == "Failed") {
    return found(core::Reason::kWorkerLost, Weight::kExit,
                 Cat(" ended with exit code ", pod.exit_code, end.empty() ? "" : ": ", end));
  }
  return std::nullopt;
}

bool RunsStill(const TrackedAttempt& attempt) {
  return std::any_of(attempt.pods.begin(), attempt.pods.end(), [](const auto& entry) {
    return entry.second.started && !entry.second.over();
  });
}

// An end with the reason that the pods tell, where it says more than the Job's own.
Verdict Ended(const TrackedAttempt& attempt, core::Reason reason, std::string message,
              Evidence::Weight least) {
  if (attempt.evidence && attempt.evidence->weight >= least) {
    reason = attempt.evidence->reason;
    message = attempt.evidence->message;
  }
  return {RunsStill(attempt) ? Standing::kEnds : Standing::kEnded, reason, std::move(message)};
}

Verdict Removed(const TrackedAttempt& attempt) {
  if (attempt.stopping) {
    return Ended(attempt, core::Reason::kWorkerLost, "kubernetes: the Job was removed as asked",
                 Evidence::Weight::kDisruption);
  }
  return Ended(attempt, core::Reason::kEngineCancelled, "kubernetes: somebody deleted the Job",
               Evidence::Weight::kDisruption);
}

// A Job that its controller has given up; its pods may be about to end.
Verdict Failed(const TrackedAttempt& attempt) {
  const JobView& job = *attempt.job;
  const std::string message = Cat("kubernetes: ", Joined(job.failed_reason, job.failed_message));
  Verdict verdict =
      job.failed_reason == "DeadlineExceeded"
          ? Ended(attempt, core::Reason::kTimeLimit, message, Evidence::Weight::kMemory)
          : Ended(attempt, core::Reason::kWorkerLost, message, Evidence::Weight::kDeletion);
  if (!job.failed) verdict.standing = Standing::kEnds;
  return verdict;
}

// Why a Job that no controller has ended does not run.
Verdict JudgeStart(const TrackedAttempt& attempt) {
  const JobView& job = *attempt.job;
  int64_t started = 0;
  std::string waits;
  for (const auto& [name, pod] : attempt.pods) {
    if (pod.waiting_reason == "InvalidImageName") {
      return {Standing::kRefused, core::Reason::kInvalidInput,
              Cat("kubernetes: ", Joined(pod.waiting_reason, pod.waiting_message))};
    }
    if (CannotStart(pod.waiting_reason)) {
      return {
          Standing::kStuck, core::Reason::kInvalidInput,
          Cat("kubernetes: ", WhereOf(pod), ": ", Joined(pod.waiting_reason, pod.waiting_message))};
    }
    if (pod.started) {
      ++started;
    } else if (!pod.not_scheduled.empty()) {
      waits = pod.not_scheduled;
    } else if (waits.empty()) {
      waits = pod.waiting_reason.empty() ? Cat(WhereOf(pod), " is ", pod.phase)
                                         : Cat(WhereOf(pod), ": ", pod.waiting_reason);
    }
  }
  if (job.nodes > 0 && started >= job.nodes) return {Standing::kRuns, {}, ""};
  if (!attempt.create_warning.empty() && static_cast<int64_t>(attempt.pods.size()) < job.nodes) {
    const std::string message = Cat("kubernetes: ", attempt.create_warning);
    if (IsQuotaWarning(attempt.create_warning)) return {Standing::kWaits, {}, message};
    return {Standing::kStuck, core::Reason::kInvalidInput, message};
  }
  if (waits.empty()) waits = Cat(attempt.pods.size(), " of ", job.nodes, " pods are there");
  if (started > 0) waits += Cat(" (", started, " of ", job.nodes, " nodes run)");
  return {Standing::kWaits, {}, Cat("kubernetes: ", waits)};
}

}  // namespace

PodView ReadPod(const Json& object) {
  PodView pod;
  pod.name = TextAt(object, {"metadata", "name"});
  pod.uid = TextAt(object, {"metadata", "uid"});
  pod.node = TextAt(object, {"spec", "nodeName"});
  pod.index = IndexOf(object);
  pod.phase = TextAt(object, {"status", "phase"});
  pod.deleting = !TextAt(object, {"metadata", "deletionTimestamp"}).empty();
  const Json& conditions = ValueAt(object, {"status", "conditions"});
  if (conditions.is_array()) {
    for (const Json& condition : conditions) {
      if (TextAt(condition, {"type"}) == "PodScheduled" &&
          TextAt(condition, {"status"}) == "False") {
        pod.not_scheduled =
            OneLine(Joined(TextAt(condition, {"reason"}), TextAt(condition, {"message"})));
      }
    }
  }
  const Json& disruption = ConditionOf(object, "DisruptionTarget");
  if (!disruption.is_null()) {
    pod.disruption = OneLine(TextAt(disruption, {"reason"}), 100);
    if (pod.disruption.empty()) pod.disruption = "DisruptionTarget";
    pod.disruption_message = OneLine(TextAt(disruption, {"message"}));
  }
  const Json& status = WorkerStatusOf(object);
  const Json& waiting = ValueAt(status, {"state", "waiting"});
  pod.waiting_reason = OneLine(TextAt(waiting, {"reason"}), 100);
  pod.waiting_message = OneLine(TextAt(waiting, {"message"}));
  const Json& ended = ValueAt(status, {"state", "terminated"});
  pod.started = !ended.is_null() || !ValueAt(status, {"state", "running"}).is_null() ||
                pod.phase == "Running" || pod.over();
  pod.exit_code = NumberAt(ended, {"exitCode"});
  pod.end_reason = OneLine(TextAt(object, {"status", "reason"}), 100);
  pod.end_message = OneLine(TextAt(object, {"status", "message"}));
  if (pod.end_reason.empty()) {
    // The container's message may be the end of its log: only what the kubelet says is repeated.
    pod.end_reason = OneLine(TextAt(ended, {"reason"}), 100);
    if (pod.end_reason == "Error" || pod.end_reason == "Completed") pod.end_reason.clear();
  }
  return pod;
}

JobView ReadJob(const Json& object) {
  JobView job;
  job.name = TextAt(object, {"metadata", "name"});
  job.uid = TextAt(object, {"metadata", "uid"});
  job.deleting = !TextAt(object, {"metadata", "deletionTimestamp"}).empty();
  job.suspended = FlagAt(object, {"spec", "suspend"});
  job.nodes = NumberAt(object, {"spec", "completions"});
  job.complete = !ConditionOf(object, "Complete").is_null();
  const Json& failed = ConditionOf(object, "Failed");
  job.failed = !failed.is_null();
  const Json& why = job.failed ? failed : ConditionOf(object, "FailureTarget");
  if (!why.is_null()) {
    job.failed_reason = OneLine(TextAt(why, {"reason"}), 100);
    if (job.failed_reason.empty()) job.failed_reason = "Failed";
    job.failed_message = OneLine(TextAt(why, {"message"}));
  }
  return job;
}

void TakePod(PodView pod, TrackedAttempt* attempt) {
  attempt->ran = attempt->ran || pod.started;
  std::optional<Evidence> evidence = EvidenceOf(pod);
  if (evidence && (!attempt->evidence || evidence->weight > attempt->evidence->weight)) {
    attempt->evidence = std::move(evidence);
  }
  std::string name = pod.name;
  attempt->pods[std::move(name)] = std::move(pod);
}

void RemovePod(const std::string& name, TrackedAttempt* attempt) { attempt->pods.erase(name); }

bool IsQuotaWarning(const std::string& message) {
  return message.find("exceeded quota") != std::string::npos ||
         message.find("failed quota") != std::string::npos;
}

Verdict Judge(const TrackedAttempt& attempt) {
  if (!attempt.job) {
    if (!attempt.was_seen) return {Standing::kWaits, {}, "kubernetes: the Job is being created"};
    return Removed(attempt);
  }
  const JobView& job = *attempt.job;
  if (!job.failed_reason.empty()) return Failed(attempt);
  if (job.complete) {
    return {Standing::kEnded, core::Reason::kWorkerLost, "kubernetes: every worker ended with 0"};
  }
  if (job.deleting) {
    Verdict verdict = Removed(attempt);
    verdict.standing = Standing::kEnds;
    return verdict;
  }
  if (job.suspended) {
    if (attempt.ran) {
      return Ended(attempt, core::Reason::kPreempted,
                   "kubernetes: the Job was suspended while it ran (Kueue took its place away)",
                   Evidence::Weight::kMemory);
    }
    return {Standing::kWaits, {}, "kubernetes: suspended until its queue admits it"};
  }
  return JudgeStart(attempt);
}

}  // namespace anamnesis::launch
