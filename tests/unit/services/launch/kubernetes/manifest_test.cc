// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/manifest.h"

#include <gtest/gtest.h>

#include "services/launch/kubernetes/object.h"

namespace anamnesis::launch {
namespace {

KubernetesOptions Options() {
  KubernetesOptions options;
  options.name_space = "ml";
  options.image = "r/w:1";
  return options;
}

LaunchRequest Request() {
  LaunchRequest request;
  request.job = core::JobId{17};
  request.epoch = 2;
  request.token = "secret";
  request.worker_address = "anamnesis-coordinator:7800";
  request.nodes = 3;
  request.ranks = 6;
  request.ranks_per_node = 2;
  return request;
}

Json PodSpec(const KubernetesOptions& options) {
  return JobManifest(options, Request(), std::nullopt)["spec"]["template"]["spec"];
}

TEST(Manifest, AGangIsAnIndexedJobThatIsNeverRestarted) {
  const Json job = JobManifest(Options(), Request(), std::nullopt);
  EXPECT_EQ(job["metadata"]["name"], ObjectName(Options(), Request()));
  const Json& spec = job["spec"];
  EXPECT_EQ(spec["completionMode"], "Indexed");
  EXPECT_EQ(spec["completions"], 3);
  EXPECT_EQ(spec["parallelism"], 3);
  EXPECT_EQ(spec["backoffLimit"], 0);
  EXPECT_EQ(spec["podReplacementPolicy"], "Failed");
  EXPECT_EQ(spec["template"]["spec"]["restartPolicy"], "Never");
  EXPECT_FALSE(spec.contains("suspend"));
  EXPECT_FALSE(spec.contains("activeDeadlineSeconds"));
  ASSERT_TRUE(spec["podFailurePolicy"]["rules"][0]["onPodConditions"].is_array());
  ASSERT_EQ(spec["podFailurePolicy"]["rules"].size(), 2u);
}

TEST(Manifest, ALaunchThatComesAgainHasAnotherName) {
  const std::string name = ObjectName(Options(), Request());
  EXPECT_TRUE(name.starts_with("anamnesis-17-2-")) << name;
  EXPECT_EQ(name, ObjectName(Options(), Request()));
  LaunchRequest again = Request();
  again.token = "another";
  EXPECT_NE(name, ObjectName(Options(), again));
}

TEST(Manifest, TheWorkerIsToldWhereItBelongs) {
  const Json container = PodSpec(Options())["containers"][0];
  EXPECT_EQ(
      container["command"],
      Json::array({"anamnesis-worker", "attempt", "--coordinator", "anamnesis-coordinator:7800",
                   "--job", "17", "--epoch", "2", "--node", "$(JOB_COMPLETION_INDEX)"}));
}

TEST(Manifest, FollowsTheRestrictedPodSecurityStandard) {
  const Json pod = PodSpec(Options());
  EXPECT_EQ(pod["securityContext"]["runAsNonRoot"], true);
  EXPECT_EQ(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
  EXPECT_EQ(pod["automountServiceAccountToken"], false);
  const Json& security = pod["containers"][0]["securityContext"];
  EXPECT_EQ(security["allowPrivilegeEscalation"], false);
  EXPECT_EQ(security["readOnlyRootFilesystem"], true);
  EXPECT_EQ(security["capabilities"]["drop"], Json::array({"ALL"}));
}

TEST(Manifest, TheTokenIsInTheSecretAlone) {
  const OwnerObject job{"batch/v1", "Job", "anamnesis-17-2", "uid-1"};
  LaunchRequest request = Request();
  request.token = "a-token";
  EXPECT_EQ(JobManifest(Options(), request, std::nullopt).dump().find("a-token"),
            std::string::npos);
  const Json secret = SecretManifest(Options(), {core::JobId{17}, 2}, "secret", job);
  EXPECT_EQ(secret["data"]["token"], "c2VjcmV0");
  EXPECT_EQ(secret["metadata"]["ownerReferences"][0]["uid"], "uid-1");
}

TEST(Manifest, ResourcesAreOfAllRanksOfANode) {
  KubernetesOptions options = Options();
  EXPECT_FALSE(PodSpec(options)["containers"][0].contains("resources"));
  options.cpu_per_rank = "750m";
  options.memory_per_rank = "1.25Gi";
  options.gpus_per_rank = 1;
  const Json resources = PodSpec(options)["containers"][0]["resources"];
  EXPECT_EQ(resources["limits"],
            (Json{{"cpu", "1500m"}, {"memory", "2.50Gi"}, {"nvidia.com/gpu", "2"}}));
  EXPECT_EQ(resources["requests"], resources["limits"]);
}

TEST(Manifest, OptionsReachThePod) {
  KubernetesOptions options = Options();
  options.queue = "team-a";
  options.time_limit = absl::Hours(2);
  options.mounts = {{.claim = "data", .path = "/data", .read_only = true}};
  options.tolerations = {{.key = "gpu", .value = "", .effect = "NoSchedule"}};
  options.user = 1000;
  options.group = 2000;
  options.priority_class = "batch";
  const Json job = JobManifest(options, Request(), OwnerObject{"apps/v1", "StatefulSet", "a", "u"});
  EXPECT_EQ(job["spec"]["suspend"], true);
  EXPECT_EQ(job["spec"]["activeDeadlineSeconds"], 7200);
  EXPECT_EQ(job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "team-a");
  EXPECT_EQ(job["metadata"]["ownerReferences"][0]["kind"], "StatefulSet");
  const Json& pod = job["spec"]["template"]["spec"];
  EXPECT_EQ(pod["volumes"][3]["persistentVolumeClaim"]["claimName"], "data");
  EXPECT_EQ(pod["containers"][0]["volumeMounts"][3]["readOnly"], true);
  EXPECT_EQ(pod["tolerations"][0]["operator"], "Exists");
  EXPECT_EQ(pod["securityContext"]["fsGroup"], 2000);
  EXPECT_EQ(pod["priorityClassName"], "batch");
}

TEST(Manifest, AnAttemptIsFoundAgainByItsLabels) {
  const Json job = JobManifest(Options(), Request(), std::nullopt);
  const auto key = KeyOfLabels(job["metadata"]);
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(*key, (AttemptKey{core::JobId{17}, 2}));
  EXPECT_FALSE(KeyOfLabels(Json::parse(R"({"labels":{"anamnesis.dev/job":"17"}})")).has_value());
  EXPECT_FALSE(
      KeyOfLabels(Json::parse(R"({"labels":{"anamnesis.dev/job":"x","anamnesis.dev/epoch":7}})"))
          .has_value());
}

TEST(Manifest, TheServiceGivesThePodsTheirNames) {
  const OwnerObject job{"batch/v1", "Job", "anamnesis-17-2", "uid-1"};
  const Json service = ServiceManifest(Options(), {core::JobId{17}, 2}, job);
  EXPECT_EQ(service["spec"]["clusterIP"], "None");
  EXPECT_EQ(service["spec"]["selector"], (Json{{kJobNameLabel, "anamnesis-17-2"}}));
  EXPECT_EQ(PodSpec(Options())["subdomain"], ObjectName(Options(), Request()));
}

}  // namespace
}  // namespace anamnesis::launch
