// SPDX-License-Identifier: Apache-2.0
#include "services/cli/verbs.h"

#include <algorithm>
#include <vector>

#include "common/base/status.h"
#include "common/config/nearest.h"
#include "common/config/yaml_document.h"
#include "services/cli/commands.h"
#include "services/cli/config_command.h"

namespace anamnesis::cli {
namespace {

constexpr std::string_view kWorker = "anamnesis-worker";
constexpr std::string_view kPrep = "anamnesis-prep";
constexpr std::string_view kRank = "anamnesis-rank";

constexpr std::string_view kCoordinator = "anamnesis-coordinator";

constexpr std::string_view kService = "The service on this machine";
constexpr std::string_view kJobs = "Jobs of a coordinator";
constexpr std::string_view kHere = "Here and now, without a coordinator";
constexpr std::string_view kAbout = "About";

constexpr Verb kVerbs[] = {
    {"up", kService, "Start the coordinator and its launcher", nullptr, kCoordinator, false},
    {"down", kService, "End the coordinator; running jobs save and are parked", RunDown},
    {"node", kService, "List nodes and their slots; keep jobs from one", RunNode},
    {"doctor", kService, "Look over this machine and say what to do", RunDoctor},
    {"submit", kJobs, "Submit a job", RunSubmit},
    {"list", kJobs, "List jobs", RunList},
    {"get", kJobs, "Print one job", RunGet},
    {"describe", kJobs, "Tell all about a job", RunDescribe},
    {"explain", kJobs, "Say what a job waits for, or why it ended", RunExplain},
    {"wait", kJobs, "Wait for the end of jobs; exit as they did", RunWait},
    {"watch", kJobs, "Print each change of jobs as it comes", RunWatch},
    {"logs", kJobs, "Print what a job's worker or rank wrote", RunLogs},
    {"metrics", kJobs, "Print a job's losses and rates, or draw them live", RunMetrics},
    {"cancel", kJobs, "Cancel jobs; they save a checkpoint first", RunCancel},
    {"pause", kJobs, "Pause jobs; they save and give their slots back", RunPause},
    {"resume", kJobs, "Resume paused jobs", RunResume},
    {"checkpoint", kJobs, "List a job's checkpoints, verify one", RunCheckpoint},
    {"run", kHere, "Train one gang here, in the foreground", nullptr, kWorker},
    {"synth", kHere, "Write a synthetic cohort in the seed layout and a tiny random base model",
     nullptr, kPrep},
    {"prepare", kHere, "Turn raw data into shards, here and now", nullptr, kPrep},
    {"validate", kHere, "Check raw data, a configuration or shards", nullptr, kPrep},
    {"render", kHere, "Print narratives", nullptr, kPrep},
    {"merge", kHere, "Merge an adapter into its base: a plain Hugging Face model", nullptr, kRank},
    {"generate", kHere, "Write on after a prompt", nullptr, kRank},
    {"predict", kHere, "Write a trained classifier's probabilities for a split", nullptr, kWorker},
    {"pull", kHere, "Fetch a model of the hub into this machine's cache", RunPull},
    {"config", kHere, "Explain, export and check configuration keys", RunConfigCommand},
    {"version", kAbout, "Print the version"},
    // The rest of the contract.
    {"resize", "", ""},
    {"delete", "", ""},
    {"set", "", ""},
    {"sweep", "", ""},
    {"audit", "", ""},
    {"estimate", "", ""},
    {"report", "", ""},
    {"compare", "", ""},
    {"du", "", ""},
    {"clean", "", ""},
    {"ledger", "", ""},
    {"certs", "", ""},
    {"audit-log", "", ""},
    {"queue", "", ""},
    {"completion", "", ""},
};

}  // namespace

std::span<const Verb> Verbs() { return kVerbs; }

const Verb* FindVerb(std::string_view name) {
  const auto* verb = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                  [&](const Verb& candidate) { return candidate.name == name; });
  return verb == std::end(kVerbs) ? nullptr : verb;
}

std::string UnknownVerbText(const std::string& word) {
  std::vector<std::string> names;
  for (const Verb& verb : kVerbs) {
    if (verb.built()) names.emplace_back(verb.name);
  }
  const std::string near = config::Nearest(word, names);
  return Cat("unknown command '", config::Shorten(word), "'",
             near.empty() ? "" : Cat(", did you mean ", near, "?"));
}

std::string HelpText() {
  std::string text =
      "anamnesis: train language models on patient histories\n\n"
      "Usage: anamnesis COMMAND [ARGUMENTS]\n";
  std::string_view group;
  for (const Verb& verb : kVerbs) {
    if (!verb.built()) continue;
    if (verb.group != group) text += Cat("\n", verb.group, ":\n");
    group = verb.group;
    std::string name(verb.name);
    name.resize(12, ' ');
    text += Cat("  ", name, verb.help, "\n");
  }
  text +=
      "\nEvery command has --help. Examples:\n"
      "  anamnesis run --task pretrain_llm configs/jobs/first_light.yaml --ranks 2\n"
      "  anamnesis up --detach\n"
      "  anamnesis submit --task pretrain_llm configs/jobs/first_light.yaml --follow\n\n"
      "Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 not allowed, 5 conflict,\n"
      "6 invalid configuration or data, 7 timeout, 8 the job failed, 9 the job was cancelled,\n"
      "75 try again, 130 interrupted.\n";
  return text;
}

}  // namespace anamnesis::cli
