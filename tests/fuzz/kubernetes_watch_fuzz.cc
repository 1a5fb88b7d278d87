// SPDX-License-Identifier: Apache-2.0
// What an API server answers: a list, then a watch in pieces, and what the objects mean. The first
// byte says how long the list is.
#include <string_view>

#include "services/launch/kubernetes/judge.h"
#include "services/launch/kubernetes/object.h"
#include "services/launch/kubernetes/watch.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace anamnesis;
using namespace anamnesis::launch;

constexpr char kPod[] =
    R"({"metadata":{"name":"a","uid":"1","resourceVersion":"5","deletionTimestamp":"t",)"
    R"("annotations":{"batch.kubernetes.io/job-completion-index":"1"}},"spec":{"nodeName":"n"},)"
    R"("status":{"phase":"Failed","conditions":[{"type":"DisruptionTarget","status":"True",)"
    R"("reason":"PreemptionByScheduler"},{"type":"PodScheduled","status":"False"}],)"
    R"("containerStatuses":[{"name":"worker","state":{"terminated":{"exitCode":137,)"
    R"("reason":"OOMKilled"},"waiting":{"reason":"ErrImagePull"}}}]}})";
constexpr char kJob[] =
    R"({"metadata":{"name":"j","uid":"2","resourceVersion":"6","labels":{"anamnesis.dev/job":"1",)"
    R"("anamnesis.dev/epoch":"1"}},"spec":{"suspend":true,"completions":2},"status":{)"
    R"("conditions":[{"type":"Failed","status":"True","reason":"DeadlineExceeded"}]}})";

void TakeChanges(ListWatch& machine, TrackedAttempt* attempt) {
  for (const ObjectChange& change : machine.TakeChanges()) {
    if (change.name.empty()) __builtin_trap();
    if (change.deleted) {
      RemovePod(change.name, attempt);
      continue;
    }
    TakePod(ReadPod(change.object), attempt);
    attempt->job = ReadJob(change.object);
    KeyOfLabels(MemberOf(change.object, "metadata"));
    const Verdict verdict = Judge(*attempt);
    if (verdict.message.size() > 8192) __builtin_trap();
  }
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const std::string list =
      Cat(R"({"metadata":{"resourceVersion":"9"},"items":[)", kPod, ",", kJob, "]}");
  const std::string watch =
      Cat(R"({"type":"MODIFIED","object":)", kPod, "}\n",
          R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}})", "\n",
          R"({"type":"DELETED","object":)", kJob, "}\n",
          R"({"type":"ERROR","object":{"kind":"Status","code":410}})", "\n");
  const std::string padded = list + std::string((16 - list.size() % 16) % 16, ' ');
  return {Cat(static_cast<char>(padded.size() / 16), padded, watch), Cat('\0', watch),
          Cat(static_cast<char>(255), list)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view list = input.substr(0, size_t{data[0]} * 16);
  const std::string_view watch = input.substr(list.size());
  ListWatch machine("");
  TrackedAttempt attempt;
  static_cast<void>(machine.OnPage(list).ok());
  TakeChanges(machine, &attempt);
  for (size_t at = 0; at < watch.size(); at += 7) {  // pieces cut anywhere
    if (!machine.OnBytes(watch.substr(at, 7)).ok()) break;
  }
  TakeChanges(machine, &attempt);
  if (machine.watching() && machine.resource_version().empty() && machine.synced()) {
    __builtin_trap();
  }
  static_cast<void>(ApiStatusOfBody(watch).code);
  return 0;
}
