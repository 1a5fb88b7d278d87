// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/manifest.h"

#include <charconv>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/base/sha256.h"

namespace anamnesis::launch {
namespace {

constexpr char kTokenFolder[] = "/run/anamnesis/token";
constexpr char kTokenKey[] = "token";
constexpr int kKeptSeconds = 86'400;  // of an ended Job that nobody removed

// `count` times a quantity: "500m" twice is "1000m", "1.5Gi" twice "3.0Gi".
std::string TimesQuantity(const std::string& quantity, int64_t count) {
  const size_t unit = quantity.find_first_not_of("0123456789.");
  std::string digits = quantity.substr(0, unit);
  const size_t dot = digits.find('.');
  const size_t decimals = dot == std::string::npos ? 0 : digits.size() - dot - 1;
  if (dot != std::string::npos) digits.erase(dot, 1);
  int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  int64_t product = 0;
  if (__builtin_mul_overflow(value, count, &product)) product = INT64_MAX;
  std::string text = Cat(product);
  if (decimals > 0) {
    if (text.size() <= decimals) text.insert(0, decimals + 1 - text.size(), '0');
    text.insert(text.size() - decimals, ".");
  }
  return unit == std::string::npos ? text : text + quantity.substr(unit);
}

int64_t SecondsOf(absl::Duration duration) {
  return absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1)));
}

Json LabelsOf(const KubernetesOptions& options, const AttemptKey& key) {
  return {{"app.kubernetes.io/name", "anamnesis-worker"},
          {kInstanceLabel, options.name},
          {"app.kubernetes.io/component", "worker"},
          {"app.kubernetes.io/part-of", "anamnesis"},
          {kManagedByLabel, kManagedBy},
          {kJobLabel, Cat(static_cast<int64_t>(key.job))},
          {kEpochLabel, Cat(key.epoch)}};
}

Json OwnerReferences(const OwnerObject& owner) {
  return Json::array({{{"apiVersion", owner.api_version},
                       {"kind", owner.kind},
                       {"name", owner.name},
                       {"uid", owner.uid},
                       {"controller", false},
                       {"blockOwnerDeletion", false}}});
}

Json MetadataOf(const KubernetesOptions& options, const AttemptKey& key, const std::string& name) {
  return {{"name", name}, {"namespace", options.name_space}, {"labels", LabelsOf(options, key)}};
}

Json ResourcesOf(const KubernetesOptions& options, int64_t ranks) {
  Json wanted = Json::object();
  if (!options.cpu_per_rank.empty()) wanted["cpu"] = TimesQuantity(options.cpu_per_rank, ranks);
  if (!options.memory_per_rank.empty()) {
    wanted["memory"] = TimesQuantity(options.memory_per_rank, ranks);
  }
  if (options.gpus_per_rank > 0) wanted[options.gpu_resource] = Cat(options.gpus_per_rank * ranks);
  if (wanted.empty()) return Json::object();
  return {{"requests", wanted}, {"limits", wanted}};
}

Json EnvironmentOf(const KubernetesOptions& options) {
  Json list = Json::array(
      {{{"name", "ANAMNESIS_WORKER_TOKEN_FILE"}, {"value", Cat(kTokenFolder, "/", kTokenKey)}},
       {{"name", "HOME"}, {"value", "/tmp"}}});
  for (const auto& [name, value] : options.environment) {
    if (name == "HOME") list.erase(1);
    list.push_back({{"name", name}, {"value", value}});
  }
  return list;
}

Json WorkerOf(const KubernetesOptions& options, const LaunchRequest& request) {
  Json mounts = Json::array({{{"name", "token"}, {"mountPath", kTokenFolder}, {"readOnly", true}},
                             {{"name", "shm"}, {"mountPath", "/dev/shm"}},
                             {{"name", "tmp"}, {"mountPath", "/tmp"}}});
  for (size_t i = 0; i < options.mounts.size(); ++i) {
    mounts.push_back({{"name", Cat("claim-", i)},
                      {"mountPath", options.mounts[i].path},
                      {"readOnly", options.mounts[i].read_only}});
  }
  Json container = {{"name", kWorkerContainer},
                    {"image", options.image},
                    // $(JOB_COMPLETION_INDEX) is set in by the kubelet.
                    {"command",
                     {options.worker, "attempt", "--coordinator", request.worker_address, "--job",
                      Cat(static_cast<int64_t>(request.job)), "--epoch", Cat(request.epoch),
                      "--node", "$(JOB_COMPLETION_INDEX)"}},
                    {"env", EnvironmentOf(options)},
                    {"volumeMounts", mounts},
                    {"terminationMessagePolicy", "FallbackToLogsOnError"},
                    {"securityContext",
                     {{"allowPrivilegeEscalation", false},
                      {"readOnlyRootFilesystem", true},
                      {"capabilities", {{"drop", Json::array({"ALL"})}}}}}};
  if (Json resources = ResourcesOf(options, request.ranks_per_node); !resources.empty()) {
    container["resources"] = std::move(resources);
  }
  if (!options.image_pull_policy.empty()) container["imagePullPolicy"] = options.image_pull_policy;
  return container;
}

Json VolumesOf(const KubernetesOptions& options, const std::string& name) {
  Json volumes =
      Json::array({{{"name", "token"}, {"secret", {{"secretName", name}, {"defaultMode", 0400}}}},
                   {{"name", "shm"},
                    {"emptyDir", {{"medium", "Memory"}, {"sizeLimit", options.shared_memory}}}},
                   {{"name", "tmp"}, {"emptyDir", Json::object()}}});
  for (size_t i = 0; i < options.mounts.size(); ++i) {
    volumes.push_back(
        {{"name", Cat("claim-", i)},
         {"persistentVolumeClaim",
          {{"claimName", options.mounts[i].claim}, {"readOnly", options.mounts[i].read_only}}}});
  }
  return volumes;
}

Json TolerationsOf(const KubernetesOptions& options) {
  Json list = Json::array();
  for (const PodToleration& toleration : options.tolerations) {
    Json entry = {{"key", toleration.key},
                  {"operator", toleration.value.empty() ? "Exists" : "Equal"}};
    if (!toleration.value.empty()) entry["value"] = toleration.value;
    if (!toleration.effect.empty()) entry["effect"] = toleration.effect;
    list.push_back(std::move(entry));
  }
  // Kubernetes waits five minutes for a node that does not answer unless a pod says otherwise.
  for (const char* taint : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    list.push_back({{"key", taint},
                    {"operator", "Exists"},
                    {"effect", "NoExecute"},
                    {"tolerationSeconds", SecondsOf(options.node_patience)}});
  }
  return list;
}

Json PodOf(const KubernetesOptions& options, const LaunchRequest& request) {
  const std::string name = ObjectName(options, request);
  Json security = {{"runAsNonRoot", true}, {"seccompProfile", {{"type", "RuntimeDefault"}}}};
  if (options.user > 0) security["runAsUser"] = options.user;
  if (options.group > 0) {
    security["runAsGroup"] = options.group;
    security["fsGroup"] = options.group;
    security["fsGroupChangePolicy"] = "OnRootMismatch";
  }
  Json pod = {{"restartPolicy", "Never"},
              {"automountServiceAccountToken", false},
              {"enableServiceLinks", false},
              {"subdomain", name},
              {"terminationGracePeriodSeconds", SecondsOf(options.grace)},
              {"securityContext", security},
              {"tolerations", TolerationsOf(options)},
              {"volumes", VolumesOf(options, name)},
              {"containers", Json::array({WorkerOf(options, request)})}};
  if (!options.service_account.empty()) pod["serviceAccountName"] = options.service_account;
  if (!options.priority_class.empty()) pod["priorityClassName"] = options.priority_class;
  if (!options.runtime_class.empty()) pod["runtimeClassName"] = options.runtime_class;
  if (!options.node_selector.empty()) pod["nodeSelector"] = options.node_selector;
  for (const std::string& secret : options.image_pull_secrets) {
    pod["imagePullSecrets"].push_back({{"name", secret}});
  }
  return pod;
}

// Our coordinator starts a job anew, as an attempt with an epoch of its own; so a Job ends with its
// first pod that does not come back. The rules say why in the Job's condition.
Json FailurePolicy() {
  return {
      {"rules",
       {{{"action", "FailJob"},
         {"onPodConditions", Json::array({{{"type", "DisruptionTarget"}, {"status", "True"}}})}},
        {{"action", "FailJob"},
         {"onExitCodes",
          {{"containerName", kWorkerContainer},
           {"operator", "In"},
           {"values", {2, 3, 4, 5, 6}}}}}}}};  // docs/errors.md: never tried again
}

int64_t NumberIn(const Json& labels, const char* label) {
  const auto found = labels.find(label);
  if (found == labels.end() || !found->is_string()) return 0;
  const std::string& text = found->get_ref<const std::string&>();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

}  // namespace

std::string ObjectName(const KubernetesOptions& options, const LaunchRequest& request) {
  return Cat(options.name, "-", static_cast<int64_t>(request.job), "-", request.epoch, "-",
             Sha256Hex(request.token).substr(0, 6));
}

std::string LabelSelector(const KubernetesOptions& options) {
  return Cat(kManagedByLabel, "=", kManagedBy, ",", kInstanceLabel, "=", options.name);
}

std::optional<AttemptKey> KeyOfLabels(const Json& metadata) {
  const auto labels = metadata.find("labels");
  if (labels == metadata.end() || !labels->is_object()) return std::nullopt;
  const int64_t job = NumberIn(*labels, kJobLabel);
  const int64_t epoch = NumberIn(*labels, kEpochLabel);
  if (job < 1 || epoch < 1) return std::nullopt;
  return AttemptKey{core::JobId{job}, epoch};
}

Json JobManifest(const KubernetesOptions& options, const LaunchRequest& request,
                 const std::optional<OwnerObject>& owner) {
  const AttemptKey key{request.job, request.epoch};
  Json metadata = MetadataOf(options, key, ObjectName(options, request));
  if (owner) metadata["ownerReferences"] = OwnerReferences(*owner);
  if (!options.queue.empty()) metadata["labels"]["kueue.x-k8s.io/queue-name"] = options.queue;
  Json spec = {
      {"completionMode", "Indexed"},
      {"completions", request.nodes},
      {"parallelism", request.nodes},
      {"backoffLimit", 0},
      {"podReplacementPolicy", "Failed"},
      {"podFailurePolicy", FailurePolicy()},
      {"ttlSecondsAfterFinished", kKeptSeconds},
      {"template",
       {{"metadata", {{"labels", LabelsOf(options, key)}}}, {"spec", PodOf(options, request)}}}};
  if (!options.queue.empty()) spec["suspend"] = true;  // until Kueue admits it
  if (options.time_limit > absl::ZeroDuration()) {
    spec["activeDeadlineSeconds"] = SecondsOf(options.time_limit);
  }
  return {{"apiVersion", "batch/v1"},
          {"kind", "Job"},
          {"metadata", std::move(metadata)},
          {"spec", std::move(spec)}};
}

Json ServiceManifest(const KubernetesOptions& options, const AttemptKey& key,
                     const OwnerObject& job) {
  Json metadata = MetadataOf(options, key, job.name);
  metadata["ownerReferences"] = OwnerReferences(job);
  return {{"apiVersion", "v1"},
          {"kind", "Service"},
          {"metadata", std::move(metadata)},
          {"spec",
           {{"clusterIP", "None"},
            {"publishNotReadyAddresses", true},
            {"selector", {{kJobNameLabel, job.name}}}}}};
}

Json SecretManifest(const KubernetesOptions& options, const AttemptKey& key,
                    const std::string& token, const OwnerObject& job) {
  Json metadata = MetadataOf(options, key, job.name);
  metadata["ownerReferences"] = OwnerReferences(job);
  return {{"apiVersion", "v1"},
          {"kind", "Secret"},
          {"type", "Opaque"},
          {"immutable", true},
          {"metadata", std::move(metadata)},
          {"data", {{kTokenKey, absl::Base64Escape(token)}}}};
}

}  // namespace anamnesis::launch
