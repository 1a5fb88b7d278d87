// SPDX-License-Identifier: Apache-2.0
// What the commands that talk to the coordinator have in common: flags, checks of their values,
// the way to the coordinator, output forms, errors. Main thread only.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "services/cli/client.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace anamnesis::cli {

using Words = std::vector<std::string>;

enum class Form { kTable, kWide, kJson, kYaml, kName };

struct CommonFlags {
  std::string coordinator;
  std::string output = "table";
  Form form() const;
};

void AddCoordinatorFlag(CLI::App& app, CommonFlags& flags);
void AddOutputFlag(CLI::App& app, CommonFlags& flags);
// Checks of an option's value; a wrong one is a usage error.
void CheckDuration(CLI::Option* option);
void CheckJob(CLI::Option* option);

// Parses the words after the verb. An exit code when the process is to end: 0 after --help, 2 with
// the error and a hint on standard error.
std::optional<int> ParseWords(CLI::App& app, const Words& words);

// The coordinator that the flags or their surroundings name; not connected yet.
StatusOr<std::unique_ptr<Client>> OpenClient(const CommonFlags& flags);

// Prints "error: TEXT", every bad key of a configuration on a line of its own.
int FailRemote(const Status& status);

// One document on standard output: JSON, or YAML with Form::kYaml.
void PrintDocument(const nlohmann::ordered_json& document, Form form);
// One line.
std::string JsonLine(const nlohmann::ordered_json& document);

// "anamnesis wait jobs/17", with the --coordinator that this command was given.
std::string CommandHint(const CommonFlags& flags, const std::string& verb_and_arguments);

}  // namespace anamnesis::cli
