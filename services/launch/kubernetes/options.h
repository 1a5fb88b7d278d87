// SPDX-License-Identifier: Apache-2.0
// How jobs run on Kubernetes: the words of `anamnesis up --launcher kubernetes --engine KEY=VALUE`,
// typed and checked. Values.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/status.h"

namespace anamnesis::launch {

// A volume claim of the namespace, mounted at a path in every worker.
struct ClaimMount {
  std::string claim;
  std::string path;  // absolute
  bool read_only = false;
};

struct PodToleration {
  std::string key;
  std::string value;   // "": the key alone (Exists)
  std::string effect;  // "": every effect
};

// What a job's objects are called and made of.
struct KubernetesOptions {
  // --- the API server
  std::string api_server;  // https://HOST:PORT
  std::string token_file, ca_file;
  std::string name_space;
  std::string owner;  // KIND/NAME of ours, e.g. StatefulSet/anamnesis; "": the jobs have no owner
  std::string name = "anamnesis";  // begins every object's name; one for each coordinator
  absl::Duration request_deadline = absl::Seconds(15);
  int64_t requests_per_second = 20;
  // --- the worker
  std::string image;
  std::string image_pull_policy;  // "": the cluster's rule
  std::vector<std::string> image_pull_secrets;
  std::string worker = "anamnesis-worker";  // the program in the image
  std::string service_account;
  int64_t user = 0, group = 0;  // of the processes; 0: the image's user, which must not be root
  std::string cpu_per_rank, memory_per_rank;  // quantities; "": not asked for
  std::string gpu_resource = "nvidia.com/gpu";
  int64_t gpus_per_rank = 0;
  std::string shared_memory = "1Gi";  // of /dev/shm
  std::vector<ClaimMount> mounts;
  std::map<std::string, std::string> environment;
  absl::Duration grace = absl::Minutes(2);  // from SIGTERM to SIGKILL: to save a checkpoint
  // --- where and when
  std::string queue;  // of Kueue; "": none
  std::string priority_class, runtime_class;
  std::map<std::string, std::string> node_selector;
  std::vector<PodToleration> tolerations;
  absl::Duration node_patience = absl::Seconds(30);  // of a node that does not answer
  absl::Duration start_patience = absl::Minutes(2);  // of an image that cannot be pulled
  absl::Duration time_limit;                         // of an attempt; 0: none
};

// "" for a variable that is not set.
using EnvironmentReader = std::function<std::string(const char* name)>;

// `words` are KEY=VALUE. What they do not say is read from where a pod finds it: the service's
// address from the environment, token, CA and namespace from `mounted` (by default the folder of
// the service account). kInvalidArgument names every wrong word; kNotFound what is missing.
StatusOr<KubernetesOptions> ParseKubernetesOptions(
    const std::vector<std::string>& words, const EnvironmentReader& environment,
    const std::string& mounted = "/var/run/secrets/kubernetes.io/serviceaccount");

// The keys with their meaning, one a line: for --help and docs.
std::string DescribeKubernetesOptions();

}  // namespace anamnesis::launch
