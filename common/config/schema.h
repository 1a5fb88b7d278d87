// SPDX-License-Identifier: Apache-2.0
// The one typed table of configuration keys. Parsing, defaults, validation, `config explain`, the
// JSON schema and docs/configuration.md are all made from these rows. Constant data: thread-safe.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/job_config.h"

namespace anamnesis::config {

enum class ValueType {
  kString,
  kPath,          // a string; relative paths become absolute against the working directory
  kInt,           // int64
  kFloat,         // finite double
  kBool,          // true false yes no on off
  kEnum,          // one of KeyRow::choices
  kStringList,    // [a, b]
  kStringOrList,  // a or [a, b]
  kNumberList,    // [1.0, 2.5]
  kIntMap,        // {name: 8}
  kFloatMap,      // {name: 0.5}
  kStringMap,     // {name: text}
  kIntOrRange     // 4 or {min: 2, max: 8}
};

// A set of tasks: bit i is the Task with value i.
using TaskSet = unsigned;
constexpr TaskSet Only(Task task) { return 1U << static_cast<unsigned>(task); }
constexpr bool Contains(TaskSet tasks, Task task) { return (tasks & Only(task)) != 0; }

struct Range {  // of numbers, also of a list's and a map's; closed unless said
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;  // the minimum itself is refused
  bool below_max = false;  // the maximum itself is refused
};

struct KeyRow {
  std::string_view path;  // dotted, "training.epochs"
  ValueType type = ValueType::kString;
  std::string_view default_json = "null";  // JSON text; null: not set
  TaskSet tasks = 0;                       // where the key may be set
  TaskSet required = 0;                    // where it must be set
  Range range = {};
  std::string_view choices = {};  // kEnum: "a|b|c"
  std::string_view not_built =
      {};                      // values refused as not built yet, "a|b"; "*": all but the default
  std::string_view help = {};  // one line
};

struct SectionRow {
  std::string_view path;
  std::string_view help;
};

std::span<const KeyRow> Schema();
std::span<const SectionRow> Sections();
const KeyRow* FindKey(std::string_view path);
bool IsSection(std::string_view path);
// "training" of "training.epochs"; "" of a key without a dot.
std::string SectionOf(std::string_view key);

std::vector<std::string> SplitChoices(std::string_view choices);
Json DefaultOf(const KeyRow& row);
// "an integer ≥ 1", "one of: none, all", … : what an error and the reference say is expected.
std::string ExpectedOf(const KeyRow& row);
// Whether a value of this key is refused as not built yet.
bool IsNotBuilt(const KeyRow& row, const Json& value);

std::span<const Task> AllTasks();
bool IsBuilt(Task task);
// Tasks that look at the `data` section alone; of other sections only the types are checked.
bool ReadsDataOnly(Task task);
std::string NamesOf(TaskSet tasks);  // "pretrain_llm, prepare"

}  // namespace anamnesis::config
