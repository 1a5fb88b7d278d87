// SPDX-License-Identifier: Apache-2.0
// A job's YAML from its bytes to a checked configuration, for a task with all sections and for the
// `data` section alone.
#include <string_view>

#include "common/config/job_config.h"
#include "common/config/yaml_document.h"
#include "tests/fuzz/fuzz.h"

namespace {

using anamnesis::config::YamlNode;

constexpr char kWhole[] = R"(model: {model_name: org/base, max_length: 2048, revision: "main"}
data: &paths
  data_dir: /d/tokenized
  vocab_filepath: /d/vocab.csv  # a comment
  labels_filepath: '/d/labels.csv'
  cutoff_months: 1
  on_missing_date: keep
lora:
  r: 1_6
  lora_alpha: 1.6e1
  lora_dropout: 0.05
  target_modules: ["q_proj", "v_proj",
                   "o_proj"]
  rank_pattern: {q_proj: 4}
  alpha_pattern:
    ? v_proj
    : 0.5
  use_rslora: yes
training:
  output_dir: >-
    /d/results
  framework: peft
  epochs: 3
  learning_rate: 2e-4
  lanes: 16
  bf16: off
  seed: 7
wandb:
  enabled: false
resources:
  ranks: 4
)";

constexpr char kAliases[] = R"(data:
  data_dir: &dir /d/tokenized
  vocab_filepath: *dir
  labels_filepath: |
    *dir
wandb: {<<: *dir, tags: &tags [a, *dir], more: *tags}
resources: {ranks: {min: 2, max: 8}}
"data": ~
)";

size_t TextBytes(const YamlNode& node) {
  size_t bytes = node.text.size();
  for (const YamlNode& key : node.keys) bytes += TextBytes(key);
  for (const YamlNode& item : node.items) bytes += TextBytes(item);
  return bytes;
}

void CheckAnswer(const anamnesis::StatusOr<anamnesis::config::JobConfig>& job) {
  using absl::StatusCode;
  if (job.ok()) {
    if (job->resolved.dump().empty()) __builtin_trap();
    return;
  }
  const StatusCode code = job.status().code();
  if (code != StatusCode::kInvalidArgument && code != StatusCode::kUnimplemented) __builtin_trap();
  if (anamnesis::MessageOf(job.status()).empty()) __builtin_trap();
}

}  // namespace

std::vector<std::string> FuzzSeeds() { return {kWhole, kAliases}; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace anamnesis::config;
  const ConfigText source = {"fuzz", std::string(reinterpret_cast<const char*>(data), size), "/w"};
  const auto root = ParseYaml(source.text, source.name);
  if (root.ok() && TextBytes(*root) > kMaxYamlBytes) __builtin_trap();
  CheckAnswer(ParseJobConfig(source, Task::kPretrainLlm, {}));
  CheckAnswer(ParseJobConfig(source, Task::kPrepare, {}));
  return 0;
}
