// SPDX-License-Identifier: Apache-2.0
// The configuration files of the repository: the seed's to the byte, every one parsed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "common/base/sha256.h"
#include "common/config/schema.h"
#include "common/config/yaml_document.h"
#include "tests/unit/common/config/config_text.h"

namespace anamnesis::config {
namespace {

using ::testing::HasSubstr;
using testing::Slurp;
using testing::SourceFile;

struct SeedFile {
  const char* name;
  size_t block;  // among the yaml blocks of seed.md
  const char* sha256;
};

constexpr SeedFile kSeedFiles[] = {
    {"configs/jobs/fine-tune-bert.yaml", 0,
     "c35c9afb5d564b8d64f9bd90d342951a984e9e919a2f936739a50fb145638dd7"},
    {"configs/jobs/llm_pretrain.yaml", 1,
     "ee39bb7abf8b2433795494906f56ce75a71ad9b77f072421d10981cfca8dfea0"},
    {"configs/sweep.yaml", 2, "cc4ac413c484becf99631c64c7ae365ed66790ffaddb3d54d6a059a747d9bd28"},
};

std::vector<std::string> YamlBlocksOf(const std::string& markdown) {
  std::vector<std::string> blocks;
  const std::string open = "```yaml\n";
  for (size_t at = 0; (at = markdown.find(open, at)) != std::string::npos;) {
    at += open.size();
    const size_t end = markdown.find("```", at);
    blocks.push_back(markdown.substr(at, end - at));
    at = end;
  }
  return blocks;
}

StatusOr<JobConfig> LoadFile(const std::string& name, Task task) {
  return LoadJobConfig(SourceFile(name), task, {});
}

TEST(SeedFiles, HaveTheSeedsDigests) {
  for (const SeedFile& file : kSeedFiles) {
    EXPECT_EQ(Sha256Hex(Slurp(SourceFile(file.name))), file.sha256) << file.name;
  }
}

TEST(SeedFiles, EqualTheSeedsBlocksByteForByte) {
  const char* shared = std::getenv("ANAMNESIS_SHARED_DIR");
  const std::string folder = shared != nullptr ? shared : SourceFile("../shared");
  const std::string seed = Slurp(folder + "/design/seed.md");
  if (seed.empty()) GTEST_SKIP() << "shared data absent";
  const std::vector<std::string> blocks = YamlBlocksOf(seed);
  ASSERT_EQ(blocks.size(), 4U);
  for (const SeedFile& file : kSeedFiles) {
    EXPECT_EQ(Slurp(SourceFile(file.name)), blocks[file.block]) << file.name;
  }
  EXPECT_EQ(blocks[3], "training:\n  framework: unsloth  # or 'peft'\n");
}

TEST(SeedFiles, PretrainingIsReadWhole) {
  const auto job = LoadFile("configs/jobs/llm_pretrain.yaml", Task::kPretrainLlm);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->model.model_name, "unsloth/mistral-7b-v0.3");
  EXPECT_EQ(job->model.max_length, 2048);
  EXPECT_EQ(job->data.cutoff_months, 1);
  EXPECT_EQ(job->data.data_dir, "/path/to/tokenized/data");
  EXPECT_EQ(job->lora.r, 16);
  EXPECT_EQ(job->lora.target_modules.size(), 7U);
  EXPECT_TRUE(job->lora.use_rslora);
  EXPECT_DOUBLE_EQ(job->lora.lora_dropout, 0.05);
  EXPECT_DOUBLE_EQ(job->training.learning_rate, 2e-4);
  EXPECT_EQ(job->training.gradient_accumulation_steps, 4);
  EXPECT_TRUE(job->training.bf16);
  EXPECT_TRUE(job->training.gradient_checkpointing);
  EXPECT_EQ(job->training.warmup_steps, 500);
  EXPECT_EQ(job->training.save_steps, 1000);
}

TEST(SeedFiles, BertIsReadWhole) {
  const auto job = LoadFile("configs/jobs/fine-tune-bert.yaml", Task::kFinetuneBert);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->model.num_classes, 2);
  EXPECT_EQ(job->model.max_length, 512);
  EXPECT_EQ(job->training.epochs, 10);
  EXPECT_EQ(job->training.batch_size, 16);
  EXPECT_DOUBLE_EQ(job->training.learning_rate, 2e-5);
  EXPECT_TRUE(job->training.overwrite_output_dir);
  EXPECT_FALSE(job->lora_present);
  EXPECT_TRUE(job->wandb_enabled);  // a section without `enabled`
  EXPECT_EQ(job->resolved["wandb"]["run_name"], "pubmedbert_1month_cutoff");
}

TEST(SeedFiles, SweepNamesKnownKeys) {
  const auto root = ParseYaml(Slurp(SourceFile("configs/sweep.yaml")), "sweep.yaml");
  ASSERT_TRUE(root.ok()) << root.status();
  ASSERT_EQ(root->keys.size(), 3U);
  EXPECT_EQ(root->keys[2].text, "parameters");
  for (const YamlNode& key : root->items[2].keys) EXPECT_NE(FindKey(key.text), nullptr) << key.text;
}

TEST(FirstLight, IsThePretrainingFileWithoutWhatIsNotBuilt) {
  const auto job = LoadFile("configs/jobs/first_light.yaml", Task::kPretrainLlm);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->model.model_name, "results/quickstart/data/base");
  EXPECT_THAT(job->lora.modules_to_save, ::testing::ElementsAre("embed_tokens", "lm_head"));
  EXPECT_THAT(job->training.output_dir, ::testing::EndsWith("/results/quickstart/run"));
  const auto seed = ParseYaml(Slurp(SourceFile("configs/jobs/llm_pretrain.yaml")), "seed");
  for (size_t i = 0; i < seed->keys.size(); ++i) {  // no key of the seed is left out
    for (const YamlNode& key : seed->items[i].keys) {
      EXPECT_TRUE(job->resolved[seed->keys[i].text].contains(key.text)) << key.text;
    }
  }
}

TEST(ConfigFiles, AreAllParsedHere) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(SourceFile("configs"))) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".yaml" && extension != ".yml") continue;
    found.insert(std::filesystem::relative(entry.path(), SourceFile("configs")).string());
    EXPECT_TRUE(ParseYaml(Slurp(entry.path().string()), entry.path().string()).ok())
        << entry.path();
  }
  EXPECT_THAT(found, ::testing::IsSupersetOf({"jobs/fine-tune-bert.yaml", "jobs/llm_pretrain.yaml",
                                              "jobs/first_light.yaml", "sweep.yaml"}));
  for (const std::string& name : found) {  // a job file is right for one task or the other
    if (!name.starts_with("jobs/")) continue;
    bool is_right = false;
    for (const Task task : AllTasks()) {
      if (ReadsDataOnly(task)) continue;
      const auto code = LoadFile("configs/" + name, task).status().code();
      is_right |= code == absl::StatusCode::kOk || code == absl::StatusCode::kUnimplemented;
    }
    EXPECT_TRUE(is_right) << name;
  }
}

}  // namespace
}  // namespace anamnesis::config
