// SPDX-License-Identifier: Apache-2.0
#include "workers/contract/plan.h"

#include <gtest/gtest.h>

namespace anamnesis::contract {
namespace {

TrainPlan MakePlan() {
  TrainPlan plan;
  plan.gang = {.run_id = "r1",
               .epoch = 3,
               .rank = 1,
               .num_ranks = 2,
               .threads = 1,
               .device = "cpu",
               .interface = ""};
  plan.lora.rank_pattern = {{"q_proj", 4}};
  plan.lora.alpha_pattern = {{"q_proj", 0.5}};
  plan.lora.target_modules = {"q_proj", "v_proj"};
  plan.data.stream = {{"max_length", 64}};
  plan.training.lanes = 4;
  plan.training.learning_rate = 2e-4;
  plan.training.seed = UINT64_MAX;
  plan.training.total_steps = 10;
  plan.training.steps_per_epoch = 5;
  plan.output.resolved_spec = {{"model", {{"max_length", 64}}}};
  return plan;
}

std::string Refusal(const Json& json) {
  const StatusOr<TrainPlan> plan = TrainPlanFromJson(json, "p");
  EXPECT_FALSE(plan.ok());
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  return MessageOf(plan.status());
}

TEST(Plan, ComesBackEqualFromJson) {
  const Json json = ToJson(MakePlan());
  const StatusOr<TrainPlan> back = TrainPlanFromJson(json, "p");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), json);
  EXPECT_EQ(back->training.seed, UINT64_MAX);
  EXPECT_EQ(back->lora.rank_pattern.at("q_proj"), 4);
}

TEST(Plan, SurvivesItsOwnText) {
  const Json json = ToJson(MakePlan());
  const StatusOr<Json> parsed = ParseJson(json.dump(), "p");
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(TrainPlanFromJson(*parsed, "p").ok());
}

TEST(Plan, RefusesAnotherVersion) {
  Json json = ToJson(MakePlan());
  json["version"] = 2;
  EXPECT_EQ(Refusal(json), "p: key 'version': 2, expected 1");
}

TEST(Plan, RefusesEveryUnknownKeyAtAnyDepth) {
  Json json = ToJson(MakePlan());
  json["extra"] = 1;
  EXPECT_EQ(Refusal(json), "p: unknown key 'extra'");
  json.erase("extra");
  json["training"]["epoch"] = 1;
  EXPECT_EQ(Refusal(json), "p: unknown key 'training.epoch'");
}

TEST(Plan, RefusesEveryMissingKeyByName) {
  const Json whole = ToJson(MakePlan());
  for (const auto& [section, content] : whole.items()) {
    Json json = whole;
    json.erase(section);
    EXPECT_EQ(Refusal(json), "p: key '" + section + "' is missing");
    if (!content.is_object()) continue;
    for (const auto& [key, value] : content.items()) {
      json = whole;
      json[section].erase(key);
      EXPECT_EQ(Refusal(json), "p: key '" + section + "." + key + "' is missing");
    }
  }
}

TEST(Plan, RefusesEveryWrongTypeByName) {
  const Json whole = ToJson(MakePlan());
  for (const auto& [section, content] : whole.items()) {
    if (!content.is_object()) continue;
    for (const auto& [key, value] : content.items()) {
      Json json = whole;
      json[section][key] = nullptr;
      EXPECT_NE(Refusal(json).find("p: key '" + section + "." + key + "': expected"),
                std::string::npos);
    }
  }
}

TEST(Plan, RefusesNumbersOutOfRange) {
  struct Row {
    const char* section;
    const char* key;
    Json value;
  };
  const Row rows[] = {{"gang", "rank", 2},
                      {"gang", "rank", -1},
                      {"gang", "num_ranks", int64_t{5000000000}},
                      {"gang", "threads", 0},
                      {"training", "lanes", 3},
                      {"training", "lanes", 1},
                      {"training", "seed", -1},
                      {"training", "epochs", 0},
                      {"training", "total_steps", 0},
                      {"training", "determinism", "maybe"},
                      {"model", "dtype", "int8"},
                      {"model", "quantisation", "fp4"},
                      {"lora", "r", 0}};
  for (const Row& row : rows) {
    Json json = ToJson(MakePlan());
    json[row.section][row.key] = row.value;
    EXPECT_NE(Refusal(json).find("p: key "), std::string::npos) << row.section << "." << row.key;
  }
}

TEST(Plan, SaysWhichFileIsMissing) {
  const StatusOr<TrainPlan> plan = ReadTrainPlan("/nonexistent/plan.json");
  EXPECT_EQ(ExitCodeOf(plan.status()), 6);
  EXPECT_NE(MessageOf(plan.status()).find("/nonexistent/plan.json"), std::string::npos);
}

}  // namespace
}  // namespace anamnesis::contract
