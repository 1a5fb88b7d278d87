// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/judge.h"

#include <gtest/gtest.h>

namespace anamnesis::launch {
namespace {

Json Pod(const std::string& name, const std::string& phase) {
  return {{"metadata", {{"name", name}, {"uid", "u-" + name}}},
          {"spec", {{"nodeName", "gpu-0"}}},
          {"status", {{"phase", phase}}}};
}

Json Running(const std::string& name) {
  Json pod = Pod(name, "Running");
  pod["status"]["containerStatuses"] =
      Json::array({{{"name", "worker"}, {"state", {{"running", Json::object()}}}}});
  return pod;
}

Json Ended(const std::string& name, int exit_code, const std::string& reason) {
  Json pod = Pod(name, exit_code == 0 ? "Succeeded" : "Failed");
  pod["status"]["containerStatuses"] =
      Json::array({{{"name", "worker"},
                    {"state", {{"terminated", {{"exitCode", exit_code}, {"reason", reason}}}}}}});
  return pod;
}

Json Waiting(const std::string& name, const std::string& reason, const std::string& message) {
  Json pod = Pod(name, "Pending");
  pod["status"]["containerStatuses"] = Json::array(
      {{{"name", "worker"}, {"state", {{"waiting", {{"reason", reason}, {"message", message}}}}}}});
  return pod;
}

Json Disrupted(const std::string& name, const std::string& reason) {
  Json pod = Ended(name, 143, "Error");
  pod["status"]["conditions"] =
      Json::array({{{"type", "DisruptionTarget"}, {"status", "True"}, {"reason", reason}}});
  return pod;
}

Json Job(int nodes) {
  return {{"metadata", {{"name", "anamnesis-1-1"}, {"uid", "j"}}},
          {"spec", {{"completions", nodes}}},
          {"status", Json::object()}};
}

Json JobWith(const std::string& condition, const std::string& reason) {
  Json job = Job(2);
  job["status"]["conditions"] =
      Json::array({{{"type", condition}, {"status", "True"}, {"reason", reason}}});
  return job;
}

TrackedAttempt Tracked(const Json& job, const std::vector<Json>& pods) {
  TrackedAttempt attempt;
  attempt.job = ReadJob(job);
  attempt.was_seen = true;
  for (const Json& pod : pods) TakePod(ReadPod(pod), &attempt);
  return attempt;
}

TEST(Judge, RunsOnceEveryNodesContainerHasStarted) {
  EXPECT_EQ(Judge(Tracked(Job(2), {Running("a"), Running("b")})).standing, Standing::kRuns);
  const Verdict half = Judge(Tracked(Job(2), {Running("a"), Pod("b", "Pending")}));
  EXPECT_EQ(half.standing, Standing::kWaits);
  EXPECT_EQ(half.message, "kubernetes: pod b on gpu-0 is Pending (1 of 2 nodes run)");
}

TEST(Judge, WaitsInTheSchedulersWords) {
  Json pod = Pod("a", "Pending");
  pod["spec"].erase("nodeName");
  pod["status"]["conditions"] =
      Json::array({{{"type", "PodScheduled"},
                    {"status", "False"},
                    {"reason", "Unschedulable"},
                    {"message", "0/2 nodes are available: 2 too small"}}});
  const Verdict verdict = Judge(Tracked(Job(1), {pod}));
  EXPECT_EQ(verdict.standing, Standing::kWaits);
  EXPECT_EQ(verdict.message, "kubernetes: Unschedulable: 0/2 nodes are available: 2 too small");
}

TEST(Judge, AnImageThatCannotBePulledIsStuckAndABadNameRefused) {
  const Verdict stuck = Judge(Tracked(Job(1), {Waiting("a", "ImagePullBackOff", "not found")}));
  EXPECT_EQ(stuck.standing, Standing::kStuck);
  EXPECT_EQ(stuck.reason, core::Reason::kInvalidInput);
  EXPECT_EQ(stuck.message, "kubernetes: pod a on gpu-0: ImagePullBackOff: not found");
  EXPECT_EQ(Judge(Tracked(Job(1), {Waiting("a", "InvalidImageName", "x//y")})).standing,
            Standing::kRefused);
  EXPECT_EQ(Judge(Tracked(Job(1), {Waiting("a", "ContainerCreating", "")})).standing,
            Standing::kWaits);
}

TEST(Judge, QuotaIsWaitedForAndOtherRefusalsOfPodsAreNot) {
  TrackedAttempt attempt = Tracked(Job(1), {});
  attempt.create_warning = "pods \"x\" is forbidden: exceeded quota: gpus";
  EXPECT_EQ(Judge(attempt).standing, Standing::kWaits);
  attempt.create_warning = "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"";
  EXPECT_EQ(Judge(attempt).standing, Standing::kStuck);
}

TEST(Judge, NamesTheReasonOfAnEnd) {
  const struct {
    Json pod;
    core::Reason reason;
  } kRows[] = {
      {Ended("a", 137, "OOMKilled"), core::Reason::kOutOfMemory},
      {Disrupted("a", "PreemptionByScheduler"), core::Reason::kPreempted},
      {Disrupted("a", "EvictionByEvictionAPI"), core::Reason::kPreempted},
      {Disrupted("a", "TerminationByKubelet"), core::Reason::kPreempted},
      {Disrupted("a", "DeletionByTaintManager"), core::Reason::kNodeLost},
      {Disrupted("a", "DeletionByPodGC"), core::Reason::kNodeLost},
      {Ended("a", 1, "Error"), core::Reason::kWorkerLost},
      {Ended("a", 6, "Error"), core::Reason::kWorkerLost},
  };
  for (const auto& row : kRows) {
    TrackedAttempt attempt = Tracked(Job(2), {Running("b"), row.pod});
    attempt.job = ReadJob(JobWith("Failed", "PodFailurePolicy"));
    TakePod(ReadPod(Ended("b", 143, "Error")), &attempt);  // its controller ended the other
    const Verdict verdict = Judge(attempt);
    EXPECT_EQ(verdict.standing, Standing::kEnded) << verdict.message;
    EXPECT_EQ(verdict.reason, row.reason) << verdict.message;
  }
}

TEST(Judge, ADeletionExplainsLeast) {
  Json deleted = Running("b");
  deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  // The controller deletes the other pod before the Job says that it has failed.
  TrackedAttempt attempt = Tracked(Job(2), {deleted, Ended("a", 75, "Error")});
  EXPECT_EQ(attempt.evidence->message, "kubernetes: pod a on gpu-0 ended with exit code 75");
  // Of a Job that somebody deletes the pods go as well.
  attempt = Tracked(Job(1), {deleted});
  attempt.job.reset();
  RemovePod("b", &attempt);
  EXPECT_EQ(Judge(attempt).reason, core::Reason::kEngineCancelled);
  // Of a pod alone it is all that is known.
  attempt.job = ReadJob(JobWith("Failed", "BackoffLimitExceeded"));
  EXPECT_EQ(Judge(attempt).reason, core::Reason::kPreempted);
}

TEST(Judge, AnEndWaitsForWhatStillRuns) {
  TrackedAttempt attempt = Tracked(JobWith("FailureTarget", "PodFailurePolicy"),
                                   {Ended("a", 137, "OOMKilled"), Running("b")});
  EXPECT_EQ(Judge(attempt).standing, Standing::kEnds);
  attempt.job.reset();  // gone from the API server, a pod of it is not
  EXPECT_EQ(Judge(attempt).standing, Standing::kEnds);
  RemovePod("b", &attempt);
  EXPECT_EQ(Judge(attempt).standing, Standing::kEnded);
  EXPECT_EQ(Judge(attempt).reason, core::Reason::kOutOfMemory);
}

TEST(Judge, ATimeLimitIsOne) {
  TrackedAttempt attempt =
      Tracked(JobWith("Failed", "DeadlineExceeded"), {Ended("a", 143, "Error")});
  EXPECT_EQ(Judge(attempt).reason, core::Reason::kTimeLimit);
}

TEST(Judge, WhoDeletedTheJobDecidesTheReason) {
  TrackedAttempt attempt = Tracked(Job(1), {Running("a")});
  attempt.job.reset();
  RemovePod("a", &attempt);
  EXPECT_EQ(Judge(attempt).reason, core::Reason::kEngineCancelled);
  attempt.stopping = true;
  EXPECT_EQ(Judge(attempt).reason, core::Reason::kWorkerLost);
}

TEST(Judge, SuspensionIsWaitedForBeforeTheStartAndALossAfterIt) {
  Json job = Job(1);
  job["spec"]["suspend"] = true;
  TrackedAttempt attempt = Tracked(job, {});
  EXPECT_EQ(Judge(attempt).standing, Standing::kWaits);
  attempt.ran = true;
  EXPECT_EQ(Judge(attempt).standing, Standing::kEnded);
  EXPECT_EQ(Judge(attempt).reason, core::Reason::kPreempted);
}

TEST(Judge, ObjectsOfAnyShapeAreRead) {
  for (const char* text : {"null", "[]", "7", R"({"metadata":7,"status":[],"spec":null})",
                           R"({"status":{"conditions":[7,{"type":1}],"containerStatuses":[null]}})",
                           R"({"status":{"containerStatuses":{"name":"worker"}}})"}) {
    const Json object = Json::parse(text);
    EXPECT_EQ(ReadPod(object).name, "");
    EXPECT_FALSE(ReadJob(object).failed);
  }
}

}  // namespace
}  // namespace anamnesis::launch
