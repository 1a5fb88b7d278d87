// SPDX-License-Identifier: Apache-2.0
// The trackers of a real training run: what they hold after a kill and a resume, and that the
// training does not care for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/unit/workers/track/wandb_support.h"
#include "tests/unit/workers/train/small_run.h"
#include "workers/train/trainer.h"

namespace anamnesis::train {
namespace {

const SmallRun& TrackedRun() {
  static const SmallRun run;
  return run;
}

contract::TrainPlan PlanWithWandb(const std::string& output) {
  contract::TrainPlan plan = TrackedRun().Plan(output);
  plan.gang.run_id = "0123abcd";
  plan.training.logging_steps = 1;
  plan.training.save_steps = 4;
  plan.output.resolved_spec = {{"training", {{"epochs", plan.training.epochs}}}};
  plan.output.wandb.enabled = true;
  plan.output.wandb.directory = plan.output.directory + "/wandb";
  return plan;
}

struct Tracked {
  Status status;
  Json log;
};

Tracked TrainTracked(const contract::TrainPlan& plan) {
  auto trainer = Trainer::Create(plan, std::make_shared<RankChannel>(std::nullopt));
  if (!trainer.ok()) return {trainer.status(), {}};
  const Status status = (*trainer)->Run();
  return {status, (*trainer)->state().log_history};
}

TEST(TrainerTrackers, HoldTheWholeLogAfterAResume) {
  contract::TrainPlan plan = PlanWithWandb("resumed");
  ASSERT_TRUE(
      TrainTracked(plan).status.ok());  // stands for an attempt that was killed after step 4
  std::filesystem::remove_all(plan.output.directory + "/final_model");
  plan.gang.epoch = 2;
  plan.output.resume_checkpoint = plan.output.directory + "/checkpoint-4";
  const Tracked resumed = TrainTracked(plan);
  ASSERT_TRUE(resumed.status.ok()) << resumed.status;
  const auto folder = track::FindWandbRun(plan.output.wandb.directory, "0123abcd");
  ASSERT_TRUE(folder.has_value());
  std::vector<std::string> steps, losses;
  for (const Json& row : resumed.log) {
    steps.push_back(Cat(track::StepOf(row)));
    losses.push_back(row.contains("loss") ? track::NumberText(row["loss"].get<double>()) : "");
  }
  const std::string path = track::WandbFileOf(*folder);
  EXPECT_EQ(track::Column(path, "train/global_step"), steps);
  EXPECT_EQ(track::Column(path, "train/loss"), losses);
  EXPECT_EQ(track::ItemsIn(path, 18).size(), 1u);  // the exit record
}

TEST(TrainerTrackers, NeitherStopNorChangeTheTrainingWhenTheyFail) {
  const Tracked good = TrainTracked(PlanWithWandb("good"));
  contract::TrainPlan plan = PlanWithWandb("bad");
  plan.output.wandb.directory = TrackedRun().path("base/config.json") + "/wandb";  // below a file
  plan.output.tensorboard_directory = plan.output.wandb.directory;
  const Tracked bad = TrainTracked(plan);
  ASSERT_TRUE(bad.status.ok()) << bad.status;
  ASSERT_EQ(bad.log.size(), good.log.size());
  EXPECT_EQ(bad.log[0]["loss"], good.log[0]["loss"]);
}

TEST(TrainerTrackers, RefuseToSendOnline) {
  contract::TrainPlan plan = PlanWithWandb("online");
  plan.output.wandb.mode = "online";
  const Status status = TrainTracked(plan).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(MessageOf(status), testing::HasSubstr("wandb.mode: online is not built yet"));
}

}  // namespace
}  // namespace anamnesis::train
