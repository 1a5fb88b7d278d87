// SPDX-License-Identifier: Apache-2.0
// The objects of one attempt on Kubernetes, as pure functions of the request: an Indexed Job with
// one pod for each node of the gang, a headless Service that gives the pods names, a Secret with
// the worker's token. The Job belongs to the coordinator's own object, the others to the Job: what
// is removed takes the rest with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/io/json.h"
#include "services/core/job.h"
#include "services/launch/kubernetes/options.h"
#include "services/launch/launcher.h"

namespace anamnesis::launch {

// The labels by which ours are found again.
inline constexpr char kInstanceLabel[] = "app.kubernetes.io/instance";
inline constexpr char kManagedByLabel[] = "app.kubernetes.io/managed-by";
inline constexpr char kManagedBy[] = "anamnesis-coordinator";
inline constexpr char kJobLabel[] = "anamnesis.dev/job";
inline constexpr char kEpochLabel[] = "anamnesis.dev/epoch";
inline constexpr char kJobNameLabel[] = "batch.kubernetes.io/job-name";  // set by Kubernetes
inline constexpr char kWorkerContainer[] = "worker";

// The object that owns another.
struct OwnerObject {
  std::string api_version, kind, name, uid;
};

// An attempt. Its number comes again when a launch was refused, its objects' name does not.
struct AttemptKey {
  core::JobId job{};
  int64_t epoch = 0;
  auto operator<=>(const AttemptKey&) const = default;
};

// anamnesis-17-2-8f3a1c: of a launch; the last part is of its token's digest.
std::string ObjectName(const KubernetesOptions& options, const LaunchRequest& request);
// Selects every object of this coordinator: app.kubernetes.io/managed-by=…,…instance=….
std::string LabelSelector(const KubernetesOptions& options);

// What names the attempt of an object's labels; nothing for an object that is not ours.
std::optional<AttemptKey> KeyOfLabels(const Json& metadata);

Json JobManifest(const KubernetesOptions& options, const LaunchRequest& request,
                 const std::optional<OwnerObject>& owner);
// Both have the Job's name and belong to it.
Json ServiceManifest(const KubernetesOptions& options, const AttemptKey& key,
                     const OwnerObject& job);
Json SecretManifest(const KubernetesOptions& options, const AttemptKey& key,
                    const std::string& token, const OwnerObject& job);

}  // namespace anamnesis::launch
