// SPDX-License-Identifier: Apache-2.0
#include "services/cli/verbs.h"

#include <algorithm>
#include <vector>

#include "common/base/status.h"
#include "common/config/nearest.h"
#include "common/config/yaml_document.h"

namespace anamnesis::cli {
namespace {

constexpr std::string_view kWorker = "anamnesis-worker";
constexpr std::string_view kPrep = "anamnesis-prep";

constexpr Verb kVerbs[] = {
    {"run", kWorker, "Train one gang here, in the foreground"},
    {"synth", kPrep, "Write a synthetic cohort in the seed layout and a tiny random base model"},
    {"prepare", kPrep, "Turn raw data into shards, here and now"},
    {"validate", kPrep, "Check raw data, a configuration or shards"},
    {"render", kPrep, "Print narratives"},
    {"config", "", "Explain, export and check configuration keys"},
    {"version", "", "Print the version"},
    // The rest of the contract.
    {"up", "", ""},
    {"down", "", ""},
    {"doctor", "", ""},
    {"submit", "", ""},
    {"list", "", ""},
    {"get", "", ""},
    {"describe", "", ""},
    {"explain", "", ""},
    {"watch", "", ""},
    {"wait", "", ""},
    {"logs", "", ""},
    {"metrics", "", ""},
    {"cancel", "", ""},
    {"pause", "", ""},
    {"resume", "", ""},
    {"resize", "", ""},
    {"delete", "", ""},
    {"set", "", ""},
    {"checkpoint", "", ""},
    {"sweep", "", ""},
    {"audit", "", ""},
    {"predict", "", ""},
    {"generate", "", ""},
    {"merge", "", ""},
    {"estimate", "", ""},
    {"report", "", ""},
    {"compare", "", ""},
    {"pull", "", ""},
    {"du", "", ""},
    {"clean", "", ""},
    {"ledger", "", ""},
    {"certs", "", ""},
    {"audit-log", "", ""},
    {"node", "", ""},
    {"drain", "", ""},
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

}  // namespace anamnesis::cli
