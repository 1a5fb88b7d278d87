// SPDX-License-Identifier: Apache-2.0
#include "workers/train/trainer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/unit/workers/train/small_run.h"

namespace anamnesis::train {
namespace {

const SmallRun& Small() {
  static const SmallRun run;
  return run;
}

struct Trained {
  Status status;
  std::string sha256;  // of the final adapter
  track::TrainerState state;
};

Trained Train(const contract::TrainPlan& plan, bool stop_at_once = false) {
  Trained trained;
  const auto channel = std::make_shared<RankChannel>(std::nullopt);
  auto trainer = Trainer::Create(plan, channel);
  trained.status = trainer.status();
  if (!trainer.ok()) return trained;
  if (stop_at_once) channel->RequestStop();
  trained.status = (*trainer)->Run();
  trained.state = (*trainer)->state();
  const auto sha256 = FileSha256(plan.output.directory + "/final_model/adapter_model.safetensors");
  if (sha256.ok()) trained.sha256 = *sha256;
  return trained;
}

// The log without what a clock decides.
Json Untimed(Json log) {
  for (Json& row : log) {
    for (const char* key :
         {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "train_runtime",
          "train_samples_per_second", "train_steps_per_second"}) {
      row.erase(key);
    }
  }
  return log;
}

// The uninterrupted run that the others are compared with.
const Trained& Whole() {
  static const Trained whole = [] {
    contract::TrainPlan plan = Small().Plan("whole");
    plan.training.save_steps = 4;
    return Train(plan);
  }();
  return whole;
}

TEST(Trainer, LowersTheLossAndWritesTheFinalModel) {
  ASSERT_TRUE(Whole().status.ok()) << Whole().status;
  const Json& log = Whole().state.log_history;
  EXPECT_LT(*Whole().state.best_metric, log[0]["loss"].get<double>());
  EXPECT_EQ(Whole().state.global_step, Small().Plan("x").training.total_steps);
  const std::string final_model = Small().path("whole/final_model");
  const auto manifest = checkpoint::OpenVerified(final_model);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->kind, "final_model");
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "README.md",
                           "tokenizer.json", "trainer_state.json"}) {
    EXPECT_TRUE(PathExists(final_model + "/" + name)) << name;
  }
}

TEST(Trainer, GivesTheSameBitsAgain) {
  EXPECT_EQ(Train(Small().Plan("again")).sha256, Whole().sha256);
}

TEST(Trainer, ResumesWithTheBitsAndTheLogOfAnUnbrokenRun) {
  ASSERT_TRUE(Whole().status.ok());
  contract::TrainPlan plan = Small().Plan("resumed");
  plan.training.save_steps = 4;
  plan.output.resume_checkpoint = Small().path("whole/checkpoint-4");
  const Trained resumed = Train(plan);
  ASSERT_TRUE(resumed.status.ok()) << resumed.status;
  EXPECT_EQ(resumed.sha256, Whole().sha256);
  EXPECT_EQ(Untimed(resumed.state.log_history), Untimed(Whole().state.log_history));
}

TEST(Trainer, FinishesItsStepAndSavesWhenAskedToStop) {
  contract::TrainPlan plan = Small().Plan("stopped");
  const Trained stopped = Train(plan, /*stop_at_once=*/true);
  EXPECT_EQ(stopped.status.code(), absl::StatusCode::kAborted) << stopped.status;
  EXPECT_EQ(ExitCodeOf(stopped.status), 130);
  EXPECT_EQ(stopped.state.global_step, 1);
  EXPECT_FALSE(PathExists(plan.output.directory + "/final_model"));
  plan.output.resume_checkpoint = plan.output.directory + "/checkpoint-1";
  EXPECT_EQ(Train(plan).sha256, Whole().sha256);
}

TEST(Trainer, RefusesADamagedCheckpoint) {
  ASSERT_TRUE(Whole().status.ok());
  contract::TrainPlan plan = Small().Plan("damaged");
  std::filesystem::create_directories(Small().path("damaged"));
  std::filesystem::copy(Small().path("whole/checkpoint-4"), Small().path("damaged/checkpoint-4"),
                        std::filesystem::copy_options::recursive);
  plan.output.resume_checkpoint = Small().path("damaged/checkpoint-4");
  const std::string path = plan.output.resume_checkpoint + "/optimizer.safetensors";
  std::string content = ReadFile(path).value();
  content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 4);
  ASSERT_TRUE(WriteFileDurably(path, content).ok());
  const Status status = Train(plan).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(MessageOf(status).find("optimizer.safetensors"), std::string::npos);
}

TEST(Trainer, RefusesACheckpointOfAnotherSeed) {
  ASSERT_TRUE(Whole().status.ok());
  contract::TrainPlan plan = Small().Plan("seed");
  plan.training.seed = 43;
  plan.output.resume_checkpoint = Small().path("whole/checkpoint-4");
  const Status status = Train(plan).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_NE(MessageOf(status).find("training.seed"), std::string::npos);
}

TEST(Trainer, NamesTheStepWhoseLossIsNotFinite) {
  contract::TrainPlan plan = Small().Plan("nan");
  plan.training.learning_rate = 1e30;
  plan.training.warmup_steps = 0;
  const Status status = Train(plan).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_NE(MessageOf(status).find("step "), std::string::npos);
  EXPECT_NE(MessageOf(status).find("learning_rate"), std::string::npos);
  EXPECT_FALSE(PathExists(plan.output.directory + "/final_model"));
}

TEST(Trainer, StopsEarlyWithoutImprovement) {
  contract::TrainPlan plan = Small().Plan("early");
  plan.training.learning_rate = 0;
  plan.training.eval_steps = 1;
  plan.training.early_stopping_patience = 2;
  const Trained early = Train(plan);
  ASSERT_TRUE(early.status.ok()) << early.status;
  EXPECT_EQ(early.state.global_step, 3);
  EXPECT_TRUE(PathExists(plan.output.directory + "/final_model"));
}

TEST(Trainer, KeepsAsManyCheckpointsAsAsked) {
  contract::TrainPlan plan = Small().Plan("limit");
  plan.training.save_steps = 1;
  plan.training.eval_steps = 100;
  plan.training.save_total_limit = 2;
  ASSERT_TRUE(Train(plan).status.ok());
  EXPECT_EQ(checkpoint::ListCheckpoints(plan.output.directory)->size(), 2u);
}

TEST(Trainer, ComputesTheSameLossesInOtherMicroBatches) {
  // Lanes of one row each: batch_size changes nothing but how rows are grouped.
  contract::TrainPlan plan = Small().Plan("micro");
  plan.training.batch_size = 1;
  plan.training.gradient_accumulation_steps = 8;
  plan.training.eval_batch_size = 2;
  EXPECT_EQ(Train(plan).sha256, Whole().sha256);
}

TEST(Trainer, RefusesAGangWithoutAWorker) {
  contract::TrainPlan plan = Small().Plan("gang");
  plan.gang.num_ranks = 2;
  EXPECT_EQ(Train(plan).status.code(), absl::StatusCode::kInvalidArgument);
}

TEST(Trainer, RefusesCudaWithoutADriverOrModule) {
  contract::TrainPlan plan = Small().Plan("cuda");
  plan.gang.device = "cuda";
  const Status status = Train(plan).status;
  if (status.ok()) return;  // a machine with a GPU and the module
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

}  // namespace
}  // namespace anamnesis::train
