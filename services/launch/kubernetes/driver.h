// SPDX-License-Identifier: Apache-2.0
// Driver: the attempts that run on Kubernetes, on one thread. It applies their objects, watches
// Jobs, pods and warnings, tells what they mean as core events, and removes what belongs to no
// attempt. Nothing here waits for the API server but Run.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "services/core/event.h"
#include "services/launch/kubernetes/client.h"
#include "services/launch/kubernetes/feed.h"
#include "services/launch/kubernetes/judge.h"
#include "services/launch/kubernetes/manifest.h"
#include "services/launch/launcher.h"

namespace anamnesis::launch {

class KubernetesDriver {
 public:
  using Emit = std::function<void(core::Event)>;

  KubernetesDriver(KubernetesOptions options, const Clock& clock, Emit emit);

  void Launch(const LaunchRequest& request);
  void Reconcile(const std::vector<Known>& known);
  // SIGTERM to every worker, SIGKILL after the grace; `at_once`: no grace.
  void Stop(core::JobId job, bool at_once);
  void StopAll();

  // One turn: what is due is asked, answers are taken, what they mean is told. Returns after
  // `at_most`, or earlier when something has happened.
  void Run(absl::Duration at_most);
  void Wake() { client_.Wake(); }  // any thread

  int64_t num_requests() const { return client_.num_requests(); }

 private:
  struct Entry {
    LaunchRequest request;  // of Launch; its token only until the Secret is there
    TrackedAttempt tracked;
    std::string name;  // of its objects; "": of a launch that was not recorded
    enum class Phase { kApplying, kAdopted, kLive } phase = Phase::kApplying;
    int parts_left = 0;          // objects beside the Job that are being applied
    std::string known_uid;       // of an adopted one; "": the launch was not confirmed
    std::string waits_for;       // the last that was known
    std::string told;            // the last EngineWaits
    absl::Duration told_time;    // monotonic
    absl::Duration stuck_since;  // monotonic; 0: not stuck
    bool waits = true;           // by the last verdict
  };
  using Entries = std::map<AttemptKey, Entry>;
  struct SeenJob {
    AttemptKey key;
    JobView view;
    bool removing = false;      // a DELETE is on its way
    absl::Duration not_before;  // of the next one, monotonic
  };

  std::string Path(const char* collection, const std::string& name = "") const;
  void Apply(const char* collection, const Json& object, ApiClient::OnAnswer on_answer);
  void FindOwner();
  void ApplyJob(const AttemptKey& key);
  void OnJobApplied(const AttemptKey& key, const ApiAnswer& answer);
  void OnPartApplied(const AttemptKey& key, const char* what, const ApiAnswer& answer);
  void TellLaunched(const AttemptKey& key, const Entry& entry);
  void FailLaunch(const AttemptKey& key, core::Reason reason, const std::string& message);
  void Remove(const std::string& name, const std::string& uid);
  void KillPods(const std::string& name);

  void OnJob(const ObjectChange& change);
  void OnPod(const ObjectChange& change);
  void OnWarning(const ObjectChange& change);
  Entry* Find(const AttemptKey& key);
  // The one whose objects have that name.
  Entry* Find(const AttemptKey& key, const std::string& name);

  std::string NameOfSeen(const AttemptKey& key) const;
  void AdoptKnown();
  void ConfirmAdopted(const AttemptKey& key);
  void TellVerdicts();
  void TellWaits(const AttemptKey& key, Entry* entry, const std::string& message);
  void TellReachable();
  void RemoveOrphans();
  absl::Duration UntilTurn() const;

  const KubernetesOptions options_;
  const Clock& clock_;
  const Emit emit_;
  ApiClient client_;
  Feed jobs_, pods_, warnings_;
  Entries entries_;
  std::map<std::string, SeenJob> seen_;  // every Job of ours, by name
  struct SeenPod {
    AttemptKey key;
    std::string job;  // the name of its Job
    PodView view;     // until what is known has been compared with what is there
  };
  std::map<std::string, SeenPod> seen_pods_;  // by name
  bool reconciled_ = false;                   // what is known has been said
  bool adopted_ = false;                      // and compared with what is there
  bool told_reachable_ = true;
  absl::Duration healthy_time_;      // monotonic: the last at which the feeds heard no error
  absl::Duration next_launch_time_;  // monotonic: after a refusal that may come right
  absl::Duration launch_backoff_;
  std::optional<OwnerObject> owner_;
  bool finding_owner_ = false;
  std::vector<AttemptKey> waiting_for_owner_;
};

}  // namespace anamnesis::launch
