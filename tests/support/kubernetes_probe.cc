// SPDX-License-Identifier: Apache-2.0
// Drives a KubernetesLauncher alone, without a coordinator, for tests against a real API server:
// takes commands from standard input, one a line, and writes what Observe tells as JSON lines.
//   kubernetes_probe KEY=VALUE...     (as `anamnesis up --engine`)
//   reconcile [JOB:EPOCH:HANDLE]...  launch JOB EPOCH NODES RANKS [TOKEN]  stop JOB [now]  stop_all
//   requests
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "common/io/json.h"
#include "services/launch/kubernetes/launcher.h"

namespace {

using namespace anamnesis;

void Print(const Json& json) {
  std::printf("%s\n", json.dump().c_str());
  std::fflush(stdout);
}

void Print(const core::Event& event) {
  const auto named = [](const char* what, core::JobId job, int64_t epoch) {
    return Json{{"event", what}, {"job", static_cast<int64_t>(job)}, {"epoch", epoch}};
  };
  if (const auto* launched = std::get_if<core::Launched>(&event)) {
    Json json = named("launched", launched->job, launched->epoch);
    json["handle"] = launched->worker.handle;
    Print(json);
  } else if (const auto* failed = std::get_if<core::LaunchFailed>(&event)) {
    Json json = named("launch_failed", failed->job, failed->epoch);
    json["reason"] = core::NameOf(failed->reason);
    json["message"] = failed->message;
    Print(json);
  } else if (const auto* waits = std::get_if<core::EngineWaits>(&event)) {
    Json json = named("waits", waits->job, waits->epoch);
    json["message"] = waits->message;
    Print(json);
  } else if (const auto* gone = std::get_if<core::WorkerGone>(&event)) {
    Json json = named("gone", gone->job, gone->epoch);
    json["reason"] = core::NameOf(gone->reason);
    json["message"] = gone->message;
    Print(json);
  } else if (const auto* seen = std::get_if<core::EngineSeen>(&event)) {
    Print({{"event", "seen"}, {"reachable", seen->reachable}, {"message", seen->message}});
  }
}

launch::Known ParseKnown(const std::string& word) {
  const size_t epoch = word.find(':'), handle = word.find(':', epoch + 1);
  launch::Known known;
  known.job = core::JobId{std::atoll(word.c_str())};
  known.epoch = std::atoll(word.c_str() + epoch + 1);
  if (handle != std::string::npos) known.worker.handle = word.substr(handle + 1);
  return known;
}

void Carry(const std::string& line, launch::KubernetesLauncher& launcher) {
  std::istringstream words(line);
  std::string verb, word;
  words >> verb;
  if (verb == "reconcile") {
    std::vector<launch::Known> known;
    while (words >> word) known.push_back(ParseKnown(word));
    launcher.Reconcile(known);
  } else if (verb == "launch") {
    int64_t job = 0;
    launch::LaunchRequest request;
    words >> job >> request.epoch >> request.nodes >> request.ranks >> request.token;
    request.job = core::JobId{job};
    request.ranks_per_node = request.ranks / request.nodes;
    if (request.token.empty()) request.token = Cat("token-of-", job, "-", request.epoch);
    request.worker_address = "coordinator:7800";
    launcher.Launch(request);
  } else if (verb == "stop") {
    int64_t job = 0;
    words >> job >> word;
    launcher.Stop(core::JobId{job}, word == "now");
  } else if (verb == "stop_all") {
    launcher.StopAll();
  } else if (verb == "requests") {
    Print({{"event", "requests"}, {"count", launcher.num_requests()}, {"busy", launcher.busy()}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = launch::ParseKubernetesOptions({argv + 1, argv + argc},
                                                      [](const char*) { return std::string(); });
  if (!options.ok()) {
    std::fprintf(stderr, "%s\n", MessageOf(options.status()).c_str());
    return 2;
  }
  auto launcher = launch::KubernetesLauncher::Create(*options, "/nonexistent");
  if (!launcher.ok()) return 1;
  std::string input;
  for (;;) {
    std::vector<pollfd> fds = {{STDIN_FILENO, POLLIN, 0}};
    (*launcher)->AddDescriptors(&fds);
    ::poll(fds.data(), fds.size(), -1);
    for (const core::Event& event : (*launcher)->Observe()) Print(event);
    if (fds[0].revents == 0) continue;
    char piece[65536];
    const ssize_t size = ::read(STDIN_FILENO, piece, sizeof piece);
    if (size <= 0) return 0;
    input.append(piece, static_cast<size_t>(size));
    for (size_t end; (end = input.find('\n')) != std::string::npos; input.erase(0, end + 1)) {
      Carry(input.substr(0, end), **launcher);
    }
  }
}
