// SPDX-License-Identifier: Apache-2.0
// node list | cordon | uncordon | drain.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "absl/time/clock.h"
#include "anamnesis/v1/cluster_service.pb.h"
#include "services/cli/command_line.h"
#include "services/cli/commands.h"
#include "services/cli/interrupt.h"
#include "services/cli/job_view.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(200);

struct NodeFlags {
  CommonFlags common;
  std::string node, message, timeout;
};

std::string NodeStateName(v1::NodeState state) {
  switch (state) {
    case v1::NODE_STATE_READY:
      return "ready";
    case v1::NODE_STATE_CORDONED:
      return "cordoned";
    case v1::NODE_STATE_DRAINING:
      return "draining";
    case v1::NODE_STATE_DRAINED:
      return "drained";
    default:
      return Cat("unknown_", static_cast<int>(state));
  }
}

int64_t NumHeld(const v1::Node& node) {
  return std::count_if(node.slots().begin(), node.slots().end(),
                       [](const v1::Slot& slot) { return !slot.job().empty(); });
}

OrderedJson NodeJson(const v1::Node& node) {
  OrderedJson slots = OrderedJson::array();
  for (const v1::Slot& slot : node.slots()) {
    slots.push_back({{"index", slot.index()}, {"job", slot.job()}, {"fault", slot.fault()}});
  }
  OrderedJson json = {{"name", node.name()},
                      {"state", NodeStateName(node.state())},
                      {"device", node.device()},
                      {"threads_per_slot", node.threads_per_slot()},
                      {"slots", std::move(slots)}};
  if (node.has_cordon()) {
    json["cordon"] = {{"actor", node.cordon().actor()},
                      {"message", node.cordon().message()},
                      {"create_time",
                       absl::FormatTime(TimeOf(node.cordon().create_time()), absl::UTCTimeZone())}};
  }
  return json;
}

// A line for the node, and one for each slot that is held or cannot be used.
void PrintNodes(const std::vector<v1::Node>& nodes, bool wide) {
  Rows rows = {{"NODE", "STATE", "DEVICE", "SLOTS", "HELD", "FAULTY", "WHY"}};
  Rows slots = {{"SLOT", "JOB", "FAULT"}};
  for (const v1::Node& node : nodes) {
    int64_t faulty = 0;
    for (const v1::Slot& slot : node.slots()) {
      faulty += slot.fault().empty() ? 0 : 1;
      if (!wide && slot.job().empty() && slot.fault().empty()) continue;
      slots.push_back({Cat(node.name(), " ", slot.index()), slot.job().empty() ? "-" : slot.job(),
                       slot.fault()});
    }
    const std::string why =
        node.has_cordon()
            ? Cat(node.cordon().actor(), ", ",
                  AgeText(TimeOf(node.cordon().create_time()), absl::Now()), " ago",
                  node.cordon().message().empty() ? "" : ": ", node.cordon().message())
            : "";
    rows.push_back({node.name(), NodeStateName(node.state()), node.device(),
                    std::to_string(node.slots_size()), std::to_string(NumHeld(node)),
                    std::to_string(faulty), why});
  }
  std::cout << TableText(rows);
  if (slots.size() > 1) std::cout << "\n" << TableText(slots);
}

int Print(const std::vector<v1::Node>& nodes, Form form) {
  if (form == Form::kName) {
    for (const v1::Node& node : nodes) std::cout << node.name() << "\n";
  } else if (form == Form::kJson || form == Form::kYaml) {
    OrderedJson list = OrderedJson::array();
    for (const v1::Node& node : nodes) list.push_back(NodeJson(node));
    PrintDocument({{"nodes", std::move(list)}}, form);
  } else {
    PrintNodes(nodes, form == Form::kWide);
  }
  return 0;
}

// Until no job holds a slot of it. The drain itself goes on without us.
StatusOr<v1::Node> WaitUntilDrained(Client& client, v1::Node node, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  WatchForInterrupt();
  int64_t told = -1;
  while (node.state() == v1::NODE_STATE_DRAINING) {
    if (NumHeld(node) != told) {
      told = NumHeld(node);
      std::cerr << node.name() << ": jobs save and stop, " << told
                << (told == 1 ? " slot is held" : " slots are held") << std::endl;
    }
    if (absl::Now() >= deadline) {
      return DeadlineExceeded(node.name(), " is not drained within ",
                              absl::FormatDuration(patience), "; it goes on draining");
    }
    absl::SleepFor(kLook);
    if (Interrupted()) return Aborted("interrupted: it goes on draining");
    ANAM_ASSIGN_OR_RETURN(const std::vector<v1::Node> nodes, client.ListNodes());
    for (const v1::Node& now : nodes) {
      if (now.name() == node.name()) node = now;
    }
  }
  return node;
}

StatusOr<v1::Node> Drain(Client& client, const NodeFlags& flags) {
  ANAM_ASSIGN_OR_RETURN(v1::Node node, client.DrainNode(flags.node, flags.message));
  if (flags.timeout == "0") return node;
  return WaitUntilDrained(
      client, std::move(node),
      flags.timeout.empty() ? absl::InfiniteDuration() : *ParseDuration(flags.timeout));
}

}  // namespace

int RunNode(const Words& words) {
  NodeFlags flags;
  CLI::App app(
      "Nodes and their slots, and how to keep jobs from one.\n\n"
      "Example: anamnesis node list\n"
      "         anamnesis node drain --message 'new GPU on Friday'\n"
      "         anamnesis node uncordon",
      "anamnesis node");
  app.require_subcommand(1);
  CLI::App* list = app.add_subcommand("list",
                                      "Nodes, who holds their slots, and which cannot be used.\n\n"
                                      "Example: anamnesis node list -o wide");
  CLI::App* cordon =
      app.add_subcommand("cordon",
                         "Place nothing new on the node; what runs goes on.\n\n"
                         "Example: anamnesis node cordon --message 'update tonight'");
  CLI::App* uncordon =
      app.add_subcommand("uncordon", "Place jobs on it again.\n\nExample: anamnesis node uncordon");
  CLI::App* drain = app.add_subcommand(
      "drain",
      "Cordon the node, and let what runs there save, stop and wait in the queue.\n\n"
      "Example: anamnesis node drain --timeout 15m");
  for (CLI::App* one : {list, cordon, uncordon, drain}) {
    AddCoordinatorFlag(*one, flags.common);
    AddOutputFlag(*one, flags.common);
    if (one != list) {
      one->add_option("node", flags.node, "nodes/HOST or HOST (default: the only one)");
    }
  }
  for (CLI::App* one : {cordon, drain}) {
    one->add_option("--message", flags.message, "Why, for those who read it");
  }
  CheckDuration(drain->add_option("--timeout", flags.timeout,
                                  "Stop waiting after this time (exit 7): 90, 30s, 10m; 0: do "
                                  "not wait"));
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  const auto client = OpenClient(flags.common);
  if (!client.ok()) return FailWith(client.status());
  if (list->parsed()) {
    const auto nodes = (*client)->ListNodes();
    return nodes.ok() ? Print(*nodes, flags.common.form()) : FailRemote(nodes.status());
  }
  const auto node = cordon->parsed()     ? (*client)->CordonNode(flags.node, flags.message)
                    : uncordon->parsed() ? (*client)->UncordonNode(flags.node)
                                         : Drain(**client, flags);
  if (node.status().code() == absl::StatusCode::kAborted) {
    std::cerr << MessageOf(node.status()) << std::endl;
    return 130;
  }
  if (!node.ok()) return FailRemote(node.status());
  return Print({*node}, flags.common.form());
}

}  // namespace anamnesis::cli
