// SPDX-License-Identifier: Apache-2.0
#include "common/config/describe.h"

#include <cmath>

#include "common/config/nearest.h"
#include "common/config/schema.h"
#include "common/config/yaml_document.h"

namespace anamnesis::config {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string DefaultText(const KeyRow& row) {
  if (row.path == "wandb.enabled") return "false; true where there is a wandb section";
  const Json value = DefaultOf(row);
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string NotBuiltText(const KeyRow& row) {
  if (row.not_built.empty()) return "";
  if (row.not_built == "*") return DefaultOf(row).is_null() ? "any value" : "all but the default";
  if (row.not_built == "range") return "{min, max}";
  std::string text;
  for (const std::string& value : SplitChoices(row.not_built)) {
    text += Cat(text.empty() ? "" : ", ", value);
  }
  return text;
}

// Task names, those of all five training tasks as one.
std::string TasksText(TaskSet tasks) {
  TaskSet training = 0;
  TaskSet all = 0;
  for (const Task task : AllTasks()) {
    all |= Only(task);
    if (!ReadsDataOnly(task)) training |= Only(task);
  }
  if (tasks == all) return "all";
  if ((tasks & training) != training) return NamesOf(tasks);
  const std::string others = NamesOf(tasks & ~training);
  return Cat("training", others.empty() ? "" : ", ", others);
}

// A cell of a Markdown table: bars and angle brackets would be read as markup.
std::string Cell(const std::string& text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|' || c == '<' || c == '>' || c == '*') cell += '\\';
    cell += c;
  }
  return cell;
}

void AppendTable(const std::string& section, std::string& out) {
  out += "| key | value | default | tasks | not built yet | meaning |\n|---|---|---|---|---|---|\n";
  for (const KeyRow& row : Schema()) {
    if (SectionOf(row.path) != section) continue;
    std::string fallback = DefaultText(row);
    if (row.required != 0) {
      fallback =
          row.required == row.tasks ? "required" : Cat("required by ", TasksText(row.required));
    } else if (!fallback.empty()) {
      fallback = Cat("`", fallback, "`");
    }
    out += Cat("| `", row.path, "` | ", Cell(ExpectedOf(row)), " | ", fallback, " | ",
               TasksText(row.tasks), " | ", Cell(NotBuiltText(row)), " | ",
               Cell(std::string(row.help)), " |\n");
  }
  out += "\n";
}

OrderedJson NumberSchema(const KeyRow& row, const char* type) {
  OrderedJson schema = {{"type", type}};
  const auto bound = [](double value) -> OrderedJson {
    if (std::floor(value) == value && std::fabs(value) < 1e15) return static_cast<int64_t>(value);
    return value;
  };
  if (std::isfinite(row.range.min)) {
    schema[row.range.above_min ? "exclusiveMinimum" : "minimum"] = bound(row.range.min);
  }
  if (std::isfinite(row.range.max)) {
    schema[row.range.below_max ? "exclusiveMaximum" : "maximum"] = bound(row.range.max);
  }
  return schema;
}

// A number, or one in quotes.
OrderedJson QuotableSchema(const KeyRow& row, const char* type) {
  const OrderedJson quoted = {{"type", "string"}, {"pattern", "^[+-]?[0-9_.]+([eE][+-]?[0-9]+)?$"}};
  return {{"anyOf", {NumberSchema(row, type), quoted}}};
}

OrderedJson ValueSchema(const KeyRow& row) {
  const OrderedJson text = {{"type", "string"}, {"minLength", 1}};
  const OrderedJson texts = {{"type", "array"}, {"items", text}};
  switch (row.type) {
    case ValueType::kString:
    case ValueType::kPath:
      return text;
    case ValueType::kInt:
      return QuotableSchema(row, "integer");
    case ValueType::kFloat:
      return QuotableSchema(row, "number");
    case ValueType::kBool:
      return {{"type", "boolean"}};
    case ValueType::kEnum:
      return {{"enum", SplitChoices(row.choices)}};
    case ValueType::kStringList:
      return texts;
    case ValueType::kStringOrList:
      return {{"anyOf", {text, texts}}};
    case ValueType::kNumberList:
      return {{"type", "array"}, {"items", QuotableSchema(row, "number")}};
    case ValueType::kIntMap:
      return {{"type", "object"}, {"additionalProperties", QuotableSchema(row, "integer")}};
    case ValueType::kFloatMap:
      return {{"type", "object"}, {"additionalProperties", QuotableSchema(row, "number")}};
    case ValueType::kStringMap:
      return {{"type", "object"}, {"additionalProperties", text}};
    case ValueType::kIntOrRange: {
      const OrderedJson one = QuotableSchema(row, "integer");
      const OrderedJson range = {{"type", "object"},
                                 {"properties", {{"min", one}, {"max", one}}},
                                 {"required", {"min", "max"}},
                                 {"additionalProperties", false}};
      return {{"anyOf", {one, range}}};
    }
  }
  return {};
}

OrderedJson SectionSchema(const std::string& section) {
  OrderedJson properties = OrderedJson::object();
  const auto name_in = [&](std::string_view path) {
    return std::string(path.substr(section.empty() ? 0 : section.size() + 1));
  };
  for (const SectionRow& row : Sections()) {
    if (SectionOf(row.path) != section) continue;
    OrderedJson inner = SectionSchema(std::string(row.path));
    inner["description"] = row.help;
    properties[name_in(row.path)] = std::move(inner);
  }
  for (const KeyRow& row : Schema()) {
    if (SectionOf(row.path) != section) continue;
    OrderedJson value = ValueSchema(row);
    value["description"] = row.help;
    const Json fallback = DefaultOf(row);
    if (!fallback.is_null()) value["default"] = fallback;
    const std::string not_built = NotBuiltText(row);
    if (!not_built.empty()) value["x-not-built-yet"] = not_built;
    value["x-tasks"] = NamesOf(row.tasks);
    if (row.required != 0) value["x-required-by"] = NamesOf(row.required);
    properties[name_in(row.path)] = std::move(value);
  }
  // A section or a key without a value is as good as absent.
  return {{"type", {"object", "null"}},
          {"properties", std::move(properties)},
          {"additionalProperties", false}};
}

}  // namespace

StatusOr<std::string> ExplainKey(const std::string& key) {
  if (const KeyRow* row = FindKey(key)) {
    std::string text = Cat(row->path, "\n  ", row->help, "\n  value    ", ExpectedOf(*row), "\n");
    const std::string fallback = DefaultText(*row);
    if (!fallback.empty()) text += Cat("  default  ", fallback, "\n");
    text += Cat("  tasks    ", NamesOf(row->tasks), "\n");
    if (row->required != 0) text += Cat("  required by ", NamesOf(row->required), "\n");
    const std::string not_built = NotBuiltText(*row);
    if (!not_built.empty()) text += Cat("  not built yet: ", not_built, "\n");
    return text;
  }
  for (const SectionRow& section : Sections()) {
    if (section.path != key) continue;
    std::string text = Cat(section.path, "\n  ", section.help, "\n");
    for (const KeyRow& row : Schema()) {
      if (SectionOf(row.path) == key) text += Cat("  ", row.path, ": ", row.help, "\n");
    }
    return text;
  }
  const std::string near = NearestKey(key);
  return NotFound("unknown key '", Shorten(key), "'",
                  near.empty() ? "" : Cat(", did you mean ", near, "?"));
}

std::string SchemaMarkdown() {
  std::string out =
      "# Configuration keys\n\n"
      "Made by `anamnesis config schema --format markdown` from the table in "
      "common/config/key_table.cc; a test keeps them equal.\n\n"
      "Numbers may stand in quotes (`\"2e-4\"`). A key without a value counts as absent. Relative "
      "paths start at the working directory. `--set KEY=VALUE` sets any key from the command line "
      "by its full name. Values under \"not built yet\" are known, and refused with exit code "
      "6.\n\n";
  for (const SectionRow& section : Sections()) {
    out += Cat("## ", section.path, "\n\n", section.help, "\n\n");
    AppendTable(std::string(section.path), out);
  }
  out += "## Top level\n\n";
  AppendTable("", out);
  out.pop_back();
  return out;
}

OrderedJson JsonSchema() {
  OrderedJson schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                        {"title", "Anamnesis job configuration"}};
  schema.update(SectionSchema(""));
  return schema;
}

}  // namespace anamnesis::config
