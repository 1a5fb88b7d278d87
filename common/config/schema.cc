// SPDX-License-Identifier: Apache-2.0
#include "common/config/schema.h"

#include <algorithm>
#include <sstream>

#include "common/base/check.h"

namespace anamnesis::config {
namespace {

constexpr double kHighestTold = 1e9;  // a higher bound only keeps numbers sane: no news to a reader

using enum ValueType;

constexpr Task kTasks[] = {Task::kPretrainLlm,  Task::kFinetuneLlm,  Task::kClassifyLlm,
                           Task::kFinetuneBert, Task::kPretrainBert, Task::kPrepare,
                           Task::kPredict};

std::string NumberText(double value) {
  std::ostringstream out;
  out.precision(16);
  out << value;
  return out.str();
}

std::string RangeText(const Range& range) {
  const std::string low = Cat(range.above_min ? "> " : "≥ ", NumberText(range.min));
  const std::string high = Cat(range.below_max ? "< " : "≤ ", NumberText(range.max));
  const bool has_low = range.min > -std::numeric_limits<double>::infinity();
  const bool has_high = range.max < kHighestTold;
  if (has_low && has_high) return Cat(" ", low, " and ", high);
  if (has_low) return Cat(" ", low);
  return has_high ? Cat(" ", high) : "";
}

}  // namespace

const KeyRow* FindKey(std::string_view path) {
  const auto row = std::find_if(Schema().begin(), Schema().end(),
                                [&](const KeyRow& candidate) { return candidate.path == path; });
  return row == Schema().end() ? nullptr : &*row;
}

std::string SectionOf(std::string_view key) {
  const size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? "" : std::string(key.substr(0, dot));
}

bool IsSection(std::string_view path) {
  return std::any_of(Sections().begin(), Sections().end(),
                     [&](const SectionRow& section) { return section.path == path; });
}

std::vector<std::string> SplitChoices(std::string_view choices) {
  std::vector<std::string> parts;
  while (!choices.empty()) {
    const size_t bar = choices.find('|');
    parts.emplace_back(choices.substr(0, bar));
    if (bar == std::string_view::npos) break;
    choices.remove_prefix(bar + 1);
  }
  return parts;
}

Json DefaultOf(const KeyRow& row) {
  StatusOr<Json> value = ParseJson(row.default_json, std::string(row.path));
  ANAM_CHECK(value.ok());
  if (row.type == kFloat && value->is_number()) return value->get<double>();
  return *value;
}

std::string ExpectedOf(const KeyRow& row) {
  const std::string range = RangeText(row.range);
  switch (row.type) {
    case kString:
      return "a text";
    case kPath:
      return "a path";
    case kInt:
      return Cat("an integer", range);
    case kFloat:
      return Cat("a number", range);
    case kBool:
      return "true or false";
    case kEnum: {
      std::string text = "one of ";
      for (const std::string& choice : SplitChoices(row.choices)) {
        text += Cat(text.back() == ' ' ? "" : ", ", choice);
      }
      return text;
    }
    case kStringList:
      return "a list of names, [a, b]";
    case kStringOrList:
      return "a text or a list of names, [a, b]";
    case kNumberList:
      return Cat("a list of numbers", range);
    case kIntMap:
      return Cat("a map of names to integers", range, ", {name: 8}");
    case kFloatMap:
      return Cat("a map of names to numbers", range, ", {name: 8}");
    case kStringMap:
      return "a map of names to texts, {name: text}";
    case kIntOrRange:
      return Cat("an integer", range, " or {min: N, max: M}");
  }
  return "";
}

bool IsNotBuilt(const KeyRow& row, const Json& value) {
  if (row.not_built.empty() || value.is_null()) return false;
  if (row.not_built == "*") return value != DefaultOf(row);
  if (row.type == kIntOrRange) return value.is_object();
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  const std::vector<std::string> refused = SplitChoices(row.not_built);
  return std::find(refused.begin(), refused.end(), text) != refused.end();
}

std::span<const Task> AllTasks() { return kTasks; }

bool IsBuilt(Task task) { return task != Task::kPretrainBert && task != Task::kPredict; }

bool ReadsDataOnly(Task task) { return task == Task::kPrepare || task == Task::kPredict; }

std::string NamesOf(TaskSet tasks) {
  std::string names;
  for (const Task task : kTasks) {
    if (Contains(tasks, task)) names += Cat(names.empty() ? "" : ", ", NameOf(task));
  }
  return names;
}

}  // namespace anamnesis::config
