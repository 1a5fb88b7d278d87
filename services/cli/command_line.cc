// SPDX-License-Identifier: Apache-2.0
#include "services/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/config/field_violations.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"
#include "services/cli/yaml_text.h"

namespace anamnesis::cli {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
std::string ErrorOf(const StatusOr<T>& value) {
  return value.ok() ? "" : MessageOf(value.status());
}

}  // namespace

Form CommonFlags::form() const {
  if (output == "wide") return Form::kWide;
  if (output == "json") return Form::kJson;
  if (output == "yaml") return Form::kYaml;
  return output == "name" ? Form::kName : Form::kTable;
}

void AddCoordinatorFlag(CLI::App& app, CommonFlags& flags) {
  app.add_option("--coordinator", flags.coordinator,
                 "unix:PATH or HOST:PORT (also $ANAMNESIS_COORDINATOR)")
      ->check([](const std::string& text) { return ErrorOf(rpc::ParseAddress(text)); });
}

void AddOutputFlag(CLI::App& app, CommonFlags& flags) {
  app.add_option("-o,--output", flags.output, "table, wide, json, yaml or name")
      ->check(CLI::IsMember({"table", "wide", "json", "yaml", "name"}));
}

void CheckDuration(CLI::Option* option) {
  option->check([](const std::string& text) { return ErrorOf(ParseDuration(text)); });
}

void CheckJob(CLI::Option* option) {
  option->check([](const std::string& text) { return ErrorOf(JobName(text)); });
}

std::optional<int> ParseWords(CLI::App& app, const Words& words) {
  Words reversed(words.rbegin(), words.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return FailUsage(error.what(), app.get_name() + " --help");
  }
  return std::nullopt;
}

StatusOr<std::unique_ptr<Client>> OpenClient(const CommonFlags& flags) {
  ANAM_ASSIGN_OR_RETURN(Connection connection,
                        ResolveConnection(flags.coordinator, FromProcessEnvironment));
  auto client = std::make_unique<Client>(std::move(connection));
  client->OnNotice(PrintNote);
  return client;
}

int FailRemote(const Status& status) {
  const auto violations = config::FieldViolationsOf(status);
  if (violations.empty()) return FailWith(status);
  std::string text;
  for (const config::FieldViolation& violation : violations) {
    if (!text.empty()) text += '\n';
    const bool named =
        violation.field.empty() || violation.description.find(violation.field) != std::string::npos;
    text += named ? violation.description : Cat(violation.field, ": ", violation.description);
  }
  return FailWith(Status(status.code(), text));
}

void PrintDocument(const Json& document, Form form) {
  if (form == Form::kYaml) {
    std::cout << YamlText(document) << std::flush;
  } else {
    std::cout << document.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
}

std::string JsonLine(const Json& document) {
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string CommandHint(const CommonFlags& flags, const std::string& verb_and_arguments) {
  return Cat("anamnesis ", verb_and_arguments,
             flags.coordinator.empty() ? "" : Cat(" --coordinator ", flags.coordinator));
}

}  // namespace anamnesis::cli
