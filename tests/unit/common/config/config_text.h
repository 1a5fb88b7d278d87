// SPDX-License-Identifier: Apache-2.0
// A small right configuration, and loading of variations of it.
#pragma once

#include <string>
#include <vector>

#include "common/config/job_config.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/common/repository_files.h"

namespace anamnesis::config {

// Every required key of pretrain_llm and nothing else.
inline constexpr char kSmall[] = R"(model:
  model_name: /models/tiny
  max_length: 128
data:
  data_dir: /d/data
  vocab_filepath: /d/vocab.csv
  labels_filepath: /d/labels.csv
lora:
  target_modules: [q_proj]
training:
  output_dir: /d/out
)";

// Loads `text` as a file called job.yaml; errors name it "job.yaml".
inline StatusOr<JobConfig> Load(const std::string& text,
                                const std::vector<std::string>& overrides = {},
                                Task task = Task::kPretrainLlm) {
  static const TemporaryFolder folder;  // one a process: these tests load often
  const std::string path = folder.Write("job.yaml", text);
  StatusOr<JobConfig> job = LoadJobConfig(path, task, overrides);
  if (job.ok()) return job;
  std::string message = MessageOf(job.status());
  for (size_t at; (at = message.find(folder.path() + "/")) != std::string::npos;) {
    message.erase(at, folder.path().size() + 1);
  }
  return Status(job.status().code(), message);
}

inline StatusOr<JobConfig> LoadWith(const std::vector<std::string>& overrides) {
  return Load(kSmall, overrides);
}

// The text with the first `from` replaced.
inline std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

}  // namespace anamnesis::config
