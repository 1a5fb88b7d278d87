// SPDX-License-Identifier: Apache-2.0
#include "common/config/checks.h"

#include <algorithm>
#include <bit>
#include <filesystem>

namespace anamnesis::config {
namespace {

void CheckRequired(Task task, const std::string& path, Entries& entries) {
  for (const KeyRow& row : Schema()) {
    if (!Contains(row.required, task) || entries.Find(row.path) != nullptr) continue;
    const auto reported = [&](const Problem& problem) { return problem.key == row.path; };
    if (std::any_of(entries.problems.begin(), entries.problems.end(), reported)) continue;
    const auto section = entries.sections.find(SectionOf(row.path));
    const Place place = section != entries.sections.end() ? section->second : Place{path, 1, 1};
    entries.Add(place, std::string(row.path),
                Cat("missing, ", NameOf(task), " needs it; expected ", ExpectedOf(row)));
  }
}

void CheckApplicable(Task task, Entries& entries) {
  if (ReadsDataOnly(task)) return;
  for (const auto& [key, entry] : entries.by_key) {
    if (Contains(entry.row->tasks, task) || IsNotBuilt(*entry.row, entry.value)) continue;
    entries.Add(entry.place, key,
                Cat("does not apply to ", NameOf(task), ", only to ", NamesOf(entry.row->tasks)));
  }
}

bool IsTrue(const Entry* entry) { return entry != nullptr && entry->value == true; }

// Whether `inner` is `outer` or lies below it; both absolute and normal.
bool IsWithin(const std::string& inner, const std::string& outer) {
  if (inner == outer || outer == "/") return true;
  return inner.size() > outer.size() && inner.compare(0, outer.size(), outer) == 0 &&
         inner[outer.size()] == '/';
}

// A prompt is a template with the answers; the rest of it is checked where the tokenizer is.
void CheckPrompt(Entries& entries) {
  const Entry* text = entries.Find("data.prompt.template");
  const Entry* answers = entries.Find("data.prompt.answers");
  if (text != nullptr && answers == nullptr) {
    entries.Add(text->place, "data.prompt.template",
                "expected data.prompt.answers beside it: {0: ..., 1: ...}");
  }
  for (const char* key : {"data.prompt.question", "data.prompt.answers"}) {
    const Entry* entry = entries.Find(key);
    if (entry != nullptr && text == nullptr) {
      entries.Add(entry->place, key, "expected data.prompt.template beside it, with {narrative}");
    }
  }
}

void CheckTogether(Entries& entries) {
  const Entry* fp16 = entries.Find("training.fp16");
  if (IsTrue(fp16) && IsTrue(entries.Find("training.bf16"))) {
    entries.Add(fp16->place, "training.fp16",
                "is true together with training.bf16: expected at most one of the two");
  }
  const Entry* lanes = entries.Find("training.lanes");
  if (lanes != nullptr && !std::has_single_bit(lanes->value.get<uint64_t>())) {
    entries.Add(lanes->place, "training.lanes",
                Cat("expected a power of two, found ", lanes->written));
  }
  const Entry* targets = entries.Find("lora.target_modules");
  if (targets != nullptr && targets->value.is_array() && targets->value.empty()) {
    entries.Add(targets->place, "lora.target_modules",
                "expected at least one name, found an empty list");
  }
  const Entry* weights = entries.Find("training.class_weights");
  const Entry* classes = entries.Find("model.num_classes");
  const int64_t num_classes = classes != nullptr ? classes->value.get<int64_t>() : 2;
  if (weights != nullptr && static_cast<int64_t>(weights->value.size()) != num_classes) {
    entries.Add(weights->place, "training.class_weights",
                Cat("has ", weights->value.size(), " numbers, expected one for each of ",
                    num_classes, " classes"));
  }
  CheckPrompt(entries);
  const Entry* output = entries.Find("training.output_dir");
  const Entry* data = entries.Find("data.data_dir");
  if (output != nullptr && data != nullptr &&
      IsWithin(data->value.get<std::string>(), output->value.get<std::string>())) {
    entries.Add(output->place, "training.output_dir",
                "holds data.data_dir: expected a folder apart from the data");
  }
}

// What to write instead of a value that is not built yet.
std::string InsteadOf(Task task, const KeyRow& row, const Json& value) {
  if (!Contains(row.tasks, task)) return Cat(" (a key of ", NamesOf(row.tasks), "): remove it");
  if (row.type == ValueType::kIntOrRange && value.is_object()) return ": write a single number";
  const Json fallback = DefaultOf(row);
  if (fallback.is_null()) return Contains(row.required, task) ? "" : ": remove it";
  return Cat(": use ", fallback.is_string() ? fallback.get<std::string>() : fallback.dump());
}

}  // namespace

void CheckEntries(Task task, const std::string& path, Entries& entries) {
  CheckRequired(task, path, entries);
  CheckApplicable(task, entries);
  if (!ReadsDataOnly(task)) CheckTogether(entries);
}

std::vector<Problem> FindNotBuilt(Task task, const std::string& path, const Entries& entries) {
  std::vector<Problem> found;
  if (!IsBuilt(task)) {
    TaskSet built = 0;
    for (const Task other : AllTasks()) built |= IsBuilt(other) ? Only(other) : 0;
    Problem problem;
    problem.place.source = path;
    problem.place.line = problem.place.column = 1;
    problem.key = "task";
    problem.text = Cat(NameOf(task), " is not built yet; built are ", NamesOf(built));
    found.push_back(std::move(problem));
  }
  for (const auto& [key, entry] : entries.by_key) {
    if (ReadsDataOnly(task) && !Contains(entry.row->tasks, task)) continue;
    if (!IsNotBuilt(*entry.row, entry.value)) continue;
    found.push_back(
        {entry.place, key,
         Cat(entry.written, " is not built yet", InsteadOf(task, *entry.row, entry.value))});
  }
  return found;
}

}  // namespace anamnesis::config
