// SPDX-License-Identifier: Apache-2.0
#include "workers/contract/predict_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::contract {
namespace {

PredictPlan SomePredictPlan() {
  PredictPlan plan;
  plan.kind = "decoder";
  plan.class_names = {"Control", "Case"};
  plan.has_threshold = true;
  plan.threshold = 0.1;
  plan.stream = {{"model.max_length", 64}};
  plan.lanes = 4;
  return plan;
}

TEST(PredictPlan, ReadsBackWhatItWrites) {
  const Json json = ToJson(SomePredictPlan());
  const auto plan = PredictPlanFromJson(json, "p");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(ToJson(*plan), json);
}

TEST(PredictPlan, RefusesAWrongFieldByItsKey) {
  const std::pair<const char*, Json> wrong[] = {{"version", 2}, {"kind", "forest"}, {"lanes", 3},
                                                {"lanes", 0},   {"batch_rows", 0},  {"threads", 0},
                                                {"new", 1},     {"stream", "text"}};
  for (const auto& [key, value] : wrong) {
    Json json = ToJson(SomePredictPlan());
    json[key] = value;
    const auto plan = PredictPlanFromJson(json, "p");
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_THAT(std::string(plan.status().message()), ::testing::HasSubstr(key));
  }
}

}  // namespace
}  // namespace anamnesis::contract
