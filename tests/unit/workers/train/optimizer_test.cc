// SPDX-License-Identifier: Apache-2.0
// AdamW, schedules and clipping against torch.optim.AdamW, transformers.get_scheduler and
// clip_grad_norm_, step by step.
#include "workers/train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "common/base/philox.h"
#include "common/io/file.h"
#include "common/io/json.h"
#include "tests/support/temporary_folder.h"
#include "workers/train/loss_scaler.h"
#include "workers/train/schedule.h"

namespace anamnesis::train {
namespace {

constexpr int kSteps = 100;
// All that training.lr_scheduler_type takes; there is one optimiser.
constexpr const char* kSchedules[] = {"linear", "cosine", "constant", "constant_with_warmup"};
constexpr int64_t kSizes[] = {37, 24};  // the second is a bias
constexpr int64_t kTotal = 61;

// The oracle makes the same numbers: multiples of 2^-20 out of a Philox stream.
std::vector<float> Numbers(uint64_t stream, double scale) {
  PhiloxStream random(11, stream);
  std::vector<float> numbers;
  for (int64_t i = 0; i < kTotal; ++i) {
    const double unit = static_cast<double>(random.Next32() >> 11) / (1 << 20) - 1.0;
    numbers.push_back(static_cast<float>(unit * scale));
  }
  return numbers;
}

Json ToJsonNumbers(const std::vector<float>& values) {
  Json list = Json::array();
  for (const float value : values) list.push_back(static_cast<double>(value));
  return list;
}

// A scale that makes some steps clip and others not.
double GradientScale(int step) { return step % 3 == 0 ? 2.0 : 0.05; }

class OptimizerOracle : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string source = std::getenv("ANAMNESIS_SOURCE_DIR");
    if (!std::filesystem::exists(source + "/.deps/oracle")) return;
    const TemporaryFolder folder;
    const std::string& directory = folder.path();
    Json input = {
        {"kinds", kSchedules}, {"sizes", kSizes}, {"parameters", ToJsonNumbers(Numbers(0, 1.0))}};
    for (int step = 1; step <= kSteps; ++step) {
      input["gradients"].push_back(ToJsonNumbers(Numbers(step, GradientScale(step))));
    }
    ASSERT_TRUE(WriteFileDurably(directory + "/in.json", input.dump()).ok());
    const std::string command = Cat("'", source, "/tools/oracle' '", source,
                                    "/tests/unit/workers/train/optimizer_oracle.py' '", directory,
                                    "/in.json' '", directory, "/out.json'");
    ASSERT_EQ(std::system(command.c_str()), 0);
    oracle_ = new Json(ReadJsonFile(directory + "/out.json").value());
  }
  void SetUp() override {
    if (oracle_ == nullptr) GTEST_SKIP() << "oracle absent";
  }
  static Json* oracle_;  // lives as long as the program
};
Json* OptimizerOracle::oracle_ = nullptr;

ScheduleOptions Options(const std::string& type) {
  return {.type = type, .learning_rate = 3e-3, .warmup_steps = 7, .total_steps = kSteps};
}

TEST_F(OptimizerOracle, AgreesOnEveryScheduleAtEveryStep) {
  for (const char* type : kSchedules) {
    const Schedule schedule = Schedule::Create(Options(type)).value();
    for (int step = 1; step <= kSteps; ++step) {
      EXPECT_NEAR(schedule.RateAt(step), (*oracle_)["rates"][type][step - 1].get<double>(), 1e-17)
          << type << " step " << step;
    }
  }
}

// Largest differences over the run from the oracle's fp32, its fused kernel's and fp64.
struct Differences {
  double fp32 = 0, fused = 0, fp64 = 0;
};

double LargestDifference(const std::vector<float>& ours, const Json& theirs) {
  double largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    largest = std::max(largest, std::abs(ours[i] - theirs[i].get<double>()));
  }
  return largest;
}

Differences RunBeside(const Json& oracle, const std::string& type) {
  AdamW adam({.weight_decay = 0.1}, {{"a.weight", 0, kSizes[0], DecaysWeight("a.weight")},
                                     {"a.bias", kSizes[0], kSizes[1], DecaysWeight("a.bias")}});
  const Schedule schedule = Schedule::Create(Options(type)).value();
  std::vector<float> parameters = Numbers(0, 1.0);
  Differences largest;
  int clipped = 0;
  for (int step = 1; step <= kSteps; ++step) {
    std::vector<float> gradient = Numbers(step, GradientScale(step));
    const double norm = GradientNorm(gradient);
    EXPECT_NEAR(norm, oracle["norms"][step - 1].get<double>(), 1e-6 * norm);
    if (norm > 1.0) ++clipped;
    ClipGradient(norm, 1.0, gradient);
    adam.Step(schedule.RateAt(step), parameters, gradient);
    const Json& traces = oracle["traces"][type];
    largest.fp32 = std::max(largest.fp32, LargestDifference(parameters, traces["fp32"][step - 1]));
    largest.fused =
        std::max(largest.fused, LargestDifference(parameters, traces["fused"][step - 1]));
    largest.fp64 = std::max(largest.fp64, LargestDifference(parameters, traces["fp64"][step - 1]));
  }
  EXPECT_GT(clipped, 10);
  EXPECT_LT(clipped, kSteps - 10);
  return largest;
}

TEST_F(OptimizerOracle, AgreesOnAHundredAdamWStepsOfEveryScheduleWithClippingAndSelectiveDecay) {
  for (const char* type : kSchedules) {
    const Differences largest = RunBeside(*oracle_, type);
    std::printf("%-20s largest difference from torch: fp32 %.1e, fused %.1e, fp64 %.1e\n", type,
                largest.fp32, largest.fused, largest.fp64);
    EXPECT_LE(largest.fp32, 4e-7) << type;  // a few units in the last place of numbers near one
    EXPECT_LE(largest.fused, 4e-7) << type;
    EXPECT_LE(largest.fp64, 2e-6) << type;
  }
}

TEST_F(OptimizerOracle, AgreesOnTheLossScaleOfEveryStep) {
  LossScaler scaler;
  const Json& scales = (*oracle_)["scales"];
  ASSERT_EQ(scales.size(), 6000U);
  for (int step = 0; step < 6000; ++step) {
    scaler.Update(step != 0 && step != 1 && step != 7 && step != 3500);
    ASSERT_EQ(scaler.scale, scales[step].get<double>()) << step;
  }
  EXPECT_EQ(scaler.skipped_steps, 4);
}

TEST(DecaysWeight, SparesBiasesAndNorms) {
  EXPECT_TRUE(DecaysWeight("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"));
  EXPECT_TRUE(DecaysWeight("base_model.model.model.embed_tokens.weight"));
  EXPECT_TRUE(DecaysWeight("base_model.model.lm_head.weight"));
  EXPECT_FALSE(DecaysWeight("model.layers.0.self_attn.q_proj.bias"));
  EXPECT_FALSE(DecaysWeight("model.layers.0.input_layernorm.weight"));
  EXPECT_FALSE(DecaysWeight("model.norm.weight"));
}

TEST(GradientNorm, IsNotFiniteWhenOneElementIsNot) {
  std::vector<float> gradient(10000, 0.5f);
  EXPECT_EQ(GradientNorm(gradient), 50.0);
  gradient[9000] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(GradientNorm(gradient)));
  gradient[9000] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isinf(GradientNorm(gradient)));
}

TEST(ClipGradient, LeavesSmallGradientsAndZeroLimitAlone) {
  std::vector<float> gradient = {0.3f, 0.4f};
  ClipGradient(0.5, 1.0, gradient);
  EXPECT_EQ(gradient, (std::vector<float>{0.3f, 0.4f}));
  ClipGradient(0.5, 0.0, gradient);
  EXPECT_EQ(gradient, (std::vector<float>{0.3f, 0.4f}));
  ClipGradient(0.5, 0.25, gradient);
  EXPECT_NEAR(gradient[1], 0.2f, 1e-6);
}

TEST(Schedule, RefusesWhatIsNotBuilt) {
  const Status status = Schedule::Create(Options("polynomial")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(MessageOf(status).find("not built yet"), std::string::npos);
}

}  // namespace
}  // namespace anamnesis::train
