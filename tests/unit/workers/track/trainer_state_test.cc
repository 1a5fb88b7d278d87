// SPDX-License-Identifier: Apache-2.0
#include "workers/track/trainer_state.h"

#include <gtest/gtest.h>

namespace anamnesis::track {
namespace {

TrainerState SomeState() {
  TrainerState state;
  state.global_step = 12;
  state.epoch = 1.5;
  state.max_steps = 16;
  state.best_metric = 2.25;
  state.best_global_step = 10;
  state.best_model_checkpoint = "/out/checkpoint-10";
  state.log_history.push_back({{"step", 10}, {"loss", 0.1 + 0.2}});
  state.loss_sum_since_log = 1.0 / 3.0;
  state.steps_since_log = 2;
  return state;
}

TEST(TrainerState, SurvivesAFileWithEveryBit) {
  const std::string text = TrainerStateText(SomeState());
  const StatusOr<TrainerState> read = TrainerStateFromJson(Json::parse(text), "x");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->loss_sum_since_log, 1.0 / 3.0);
  EXPECT_EQ(TrainerStateText(*read), text);
}

TEST(TrainerState, HasTheKeysOfTransformers) {
  const Json json = Json::parse(TrainerStateText(SomeState()));
  for (const char* key : {"best_global_step",
                          "best_metric",
                          "best_model_checkpoint",
                          "epoch",
                          "eval_steps",
                          "global_step",
                          "is_hyper_param_search",
                          "is_local_process_zero",
                          "is_world_process_zero",
                          "log_history",
                          "logging_steps",
                          "max_steps",
                          "num_input_tokens_seen",
                          "num_train_epochs",
                          "save_steps",
                          "stateful_callbacks",
                          "total_flos",
                          "train_batch_size",
                          "trial_name",
                          "trial_params"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_EQ(json.size(), 20u);
}

TEST(TrainerState, NamesAMissingKey) {
  Json json = Json::parse(TrainerStateText(SomeState()));
  json.erase("max_steps");
  const auto status = TrainerStateFromJson(json, "state.json").status();
  EXPECT_NE(MessageOf(status).find("max_steps"), std::string::npos);
}

}  // namespace
}  // namespace anamnesis::track
