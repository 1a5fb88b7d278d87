// SPDX-License-Identifier: Apache-2.0
// AdamW, schedules and clipping against torch.optim.AdamW, transformers.get_scheduler and
// clip_grad_norm_, step by step.
#include "workers/train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
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

constexpr int kSteps = 50;
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
    Json input = {{"sizes", kSizes}, {"parameters", ToJsonNumbers(Numbers(0, 1.0))}};
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
  for (const char* type : {"linear", "cosine", "constant", "constant_with_warmup"}) {
    const Schedule schedule = Schedule::Create(Options(type)).value();
    for (int step = 1; step <= kSteps; ++step) {
      EXPECT_NEAR(schedule.RateAt(step), (*oracle_)["rates"][type][step - 1].get<double>(), 1e-17)
          << type << " step " << step;
    }
  }
}

TEST_F(OptimizerOracle, AgreesOnFiftyAdamWStepsWithClippingAndSelectiveDecay) {
  AdamW adam({.weight_decay = 0.1}, {{"a.weight", 0, kSizes[0], DecaysWeight("a.weight")},
                                     {"a.bias", kSizes[0], kSizes[1], DecaysWeight("a.bias")}});
  const Schedule schedule = Schedule::Create(Options("linear")).value();
  std::vector<float> parameters = Numbers(0, 1.0);
  int clipped = 0;
  for (int step = 1; step <= kSteps; ++step) {
    std::vector<float> gradient = Numbers(step, GradientScale(step));
    const double norm = GradientNorm(gradient);
    EXPECT_NEAR(norm, (*oracle_)["norms"][step - 1].get<double>(), 1e-6 * norm);
    if (norm > 1.0) ++clipped;
    ClipGradient(norm, 1.0, gradient);
    adam.Step(schedule.RateAt(step), parameters, gradient);
    double worst_fp32 = 0;
    double worst_fp64 = 0;
    for (int64_t i = 0; i < kTotal; ++i) {
      const auto fp32 = (*oracle_)["fp32"][step - 1][i].get<double>();
      const auto fp64 = (*oracle_)["fp64"][step - 1][i].get<double>();
      worst_fp32 = std::max(worst_fp32, std::abs(parameters[i] - fp32));
      worst_fp64 = std::max(worst_fp64, std::abs(parameters[i] - fp64));
    }
    EXPECT_LE(worst_fp32, 4e-7) << step;  // a few units in the last place of numbers near one
    EXPECT_LE(worst_fp64, 1.5e-6) << step;
  }
  EXPECT_GT(clipped, 5);
  EXPECT_LT(clipped, kSteps - 5);
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
