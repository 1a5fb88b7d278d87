// SPDX-License-Identifier: Apache-2.0
// Training in fp16: steps that overflow are skipped, and the loss scale is a part of the run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "tests/unit/workers/train/small_run.h"
#include "workers/train/trainer.h"

namespace anamnesis::train {
namespace {

const SmallRun& Half() {
  static const SmallRun run;
  return run;
}

contract::TrainPlan Fp16Plan(const std::string& output, double initializer_range) {
  contract::TrainPlan plan = Half().Plan(output);
  plan.model = Half().ModelWithWeights(initializer_range);
  plan.model.dtype = "float16";
  plan.training.logging_steps = 1;
  plan.training.save_steps = 4;
  return plan;
}

struct Fp16Run {
  Status status;
  std::string sha256;
  track::TrainerState state;
};

Fp16Run TrainInFp16(const contract::TrainPlan& plan) {
  Fp16Run out;
  auto trainer = Trainer::Create(plan, std::make_shared<RankChannel>(std::nullopt));
  out.status = trainer.status();
  if (!trainer.ok()) return out;
  out.status = (*trainer)->Run();
  out.state = (*trainer)->state();
  const auto sha256 = FileSha256(plan.output.directory + "/final_model/adapter_model.safetensors");
  if (sha256.ok()) out.sha256 = *sha256;
  return out;
}

std::vector<double> Logged(const Json& log, const char* key) {
  std::vector<double> values;
  for (const Json& row : log) {
    if (row.contains(key))
      values.push_back(row[key].is_number() ? row[key].get<double>() : INFINITY);
  }
  return values;
}

TEST(Fp16, TrainsAsWellAsFp32) {
  contract::TrainPlan plan = Fp16Plan("plain", 0.1);
  const Fp16Run half = TrainInFp16(plan);
  ASSERT_TRUE(half.status.ok()) << half.status;
  EXPECT_EQ(half.state.loss_scaler.scale, 65536);
  EXPECT_EQ(half.state.loss_scaler.skipped_steps, 0);
  EXPECT_EQ(half.state.loss_scaler.growth_tracker, plan.training.total_steps);
  plan = Fp16Plan("single", 0.1);
  plan.model.dtype = "float32";
  const Fp16Run single = TrainInFp16(plan);
  ASSERT_TRUE(single.status.ok()) << single.status;
  const auto half_losses = Logged(half.state.log_history, "loss");
  const auto single_losses = Logged(single.state.log_history, "loss");
  ASSERT_EQ(half_losses.size(), single_losses.size());
  for (size_t i = 0; i < half_losses.size(); ++i) {
    EXPECT_NEAR(half_losses[i], single_losses[i], 2e-3 * single_losses[i]) << i;
  }
  EXPECT_TRUE(Logged(single.state.log_history, "loss_scale").empty());
}

// Weights so wide that gradients overflow at the first scale.
constexpr double kWide = 1.0;

TEST(Fp16, SkipsStepsThatOverflowAndResumesWithTheSameBits) {
  contract::TrainPlan plan = Fp16Plan("wide", kWide);
  const Fp16Run whole = TrainInFp16(plan);
  ASSERT_TRUE(whole.status.ok()) << whole.status;
  const track::LossScalerState& scaler = whole.state.loss_scaler;
  ASSERT_GT(scaler.skipped_steps, 0);
  ASSERT_LT(scaler.skipped_steps, plan.training.total_steps - 2);
  EXPECT_EQ(scaler.scale, 65536 * std::ldexp(1.0, -static_cast<int>(scaler.skipped_steps)));
  const std::vector<double> rates = Logged(whole.state.log_history, "learning_rate");
  const std::vector<double> scales = Logged(whole.state.log_history, "loss_scale");
  const std::vector<double> norms = Logged(whole.state.log_history, "grad_norm");
  EXPECT_EQ(scales[0], 65536);
  for (size_t i = 1; i < rates.size(); ++i) {
    const bool skipped = !std::isfinite(norms[i - 1]);
    EXPECT_EQ(scales[i], skipped ? scales[i - 1] / 2 : scales[i - 1]) << i;
    EXPECT_EQ(rates[i] == rates[i - 1], skipped) << i;  // it does not count for the schedule
  }
  EXPECT_TRUE(std::isfinite(whole.state.loss_sum));

  plan = Fp16Plan("wide-resumed", kWide);
  plan.output.resume_checkpoint = Half().path("wide/checkpoint-4");
  const Fp16Run resumed = TrainInFp16(plan);
  ASSERT_TRUE(resumed.status.ok()) << resumed.status;
  EXPECT_EQ(resumed.sha256, whole.sha256);
  EXPECT_EQ(Logged(resumed.state.log_history, "loss_scale"), scales);
}

TEST(Fp16, GivesUpWhenNoScaleHelps) {
  contract::TrainPlan plan = Fp16Plan("hopeless", 3000.0);  // activations overflow
  plan.data.tuning_index = "";
  plan.training.epochs = 4;
  plan.training.total_steps *= 2;
  const Fp16Run run = TrainInFp16(plan);
  EXPECT_EQ(run.status.code(), absl::StatusCode::kInvalidArgument) << run.status;
  EXPECT_NE(MessageOf(run.status).find("step 18: the loss is"), std::string::npos) << run.status;
  EXPECT_NE(MessageOf(run.status).find("in float16, with the loss scale down to 0.5"),
            std::string::npos);
  EXPECT_NE(MessageOf(run.status).find("training.bf16"), std::string::npos);
  EXPECT_FALSE(PathExists(plan.output.directory + "/final_model"));
}

}  // namespace
}  // namespace anamnesis::train
