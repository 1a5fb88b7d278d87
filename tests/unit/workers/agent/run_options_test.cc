// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/run_options.h"

#include <gtest/gtest.h>
#include <stdlib.h>

namespace anamnesis::agent {
namespace {

std::optional<RunOptions> Parse(std::vector<std::string> words, int* exit_code) {
  words.insert(words.begin(), "run");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return ParseRunOptions(static_cast<int>(argv.size()), argv.data(), exit_code);
}

TEST(RunOptions, ReadsEveryOption) {
  int exit_code = -1;
  const auto options =
      Parse({"--task", "pretrain_llm", "a.yaml", "--set", "lora.r=4", "--set", "training.seed=1",
             "--ranks", "2", "--threads-per-rank", "3", "--slots", "5", "--resume", "--data-dir",
             "/d", "--keep-plan", "--hub", "deny"},
            &exit_code);
  ASSERT_TRUE(options.has_value());
  EXPECT_EQ(options->config_path, "a.yaml");
  EXPECT_EQ(options->overrides, (std::vector<std::string>{"lora.r=4", "training.seed=1"}));
  EXPECT_EQ(options->ranks, 2);
  EXPECT_EQ(options->threads_per_rank, 3);
  EXPECT_EQ(options->slots, 5);
  EXPECT_TRUE(options->resume && options->keep_plan);
  EXPECT_EQ(options->data_dir, "/d");
  EXPECT_FALSE(options->allow_hub);
}

TEST(RunOptions, EndsWithTwoOnWrongUse) {
  const std::vector<std::vector<std::string>> rows = {
      {},
      {"a.yaml"},
      {"--task", "no_such", "a.yaml"},
      {"--task", "pretrain_llm"},
      {"--task", "pretrain_llm", "a.yaml", "--ranks", "0"},
      {"--task", "pretrain_llm", "a.yaml", "--hub", "maybe"},
      {"--task", "pretrain_llm", "a.yaml", "--ranks", "x"},
      {"--task", "pretrain_llm", "a.yaml", "--what"}};
  for (const auto& row : rows) {
    int exit_code = -1;
    EXPECT_FALSE(Parse(row, &exit_code).has_value());
    EXPECT_EQ(exit_code, 2);
  }
}

TEST(RunOptions, MakesACommandThatAShellTakes) {
  int exit_code = 0;
  const auto options = Parse(
      {"--task", "pretrain_llm", "my job.yaml", "--set", "model.model_name=it's"}, &exit_code);
  EXPECT_EQ(
      ResumeCommand(*options),
      "anamnesis run --task pretrain_llm 'my job.yaml' --set 'model.model_name=it'\\''s' --resume");
}

}  // namespace
}  // namespace anamnesis::agent
