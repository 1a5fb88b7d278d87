// SPDX-License-Identifier: Apache-2.0
// Fifty steps beside HF + PEFT: same base, same fresh adapter, same batches, dropout 0.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>

#include "tests/unit/workers/train/small_run.h"
#include "workers/train/causal_learner.h"
#include "workers/train/epoch_rows.h"
#include "workers/train/schedule.h"
#include "workers/train/step.h"

namespace anamnesis::train {
namespace {

constexpr int kSteps = 50;
constexpr double kWeightDecay = 0.01;
constexpr ScheduleOptions kSchedule{
    .type = {}, .learning_rate = 2e-3, .warmup_steps = 5, .total_steps = kSteps};

// Every row of the split as a list of segments.
std::vector<stream::PackedRow> AllRows(const contract::TrainPlan& plan) {
  const auto source =
      stream::RowSource::Open({.shards_directory = plan.data.shards_directory,
                               .split = "train",
                               .model_directory = plan.model.directory,
                               .spec = stream::StreamSpecFromJson(plan.data.stream, "x").value(),
                               .index_path = plan.data.train_index,
                               .seed = 42,
                               .shuffle = true})
          .value();
  std::vector<stream::PackedRow> rows;
  for (int64_t row = 0; row < source->num_rows(); ++row) rows.push_back(source->Row(row).value());
  return rows;
}

Json SegmentsOf(const stream::PackedRow& row) {
  Json segments = Json::array();
  auto at = row.ids.begin();
  for (const int32_t length : row.segment_lengths) {
    segments.push_back(std::vector<int32_t>(at, at + length));
    at += length;
  }
  return segments;
}

TEST(LossCurve, StaysWithinAThousandthOfPeftsForFiftySteps) {
  const std::string root = std::getenv("ANAMNESIS_SOURCE_DIR");
  if (!std::filesystem::exists(root + "/.deps/oracle")) GTEST_SKIP() << "oracle absent";
  const SmallRun run;
  contract::TrainPlan plan = run.Plan("curve");
  plan.lora.dropout = 0;
  plan.training.seed = 7;
  const auto learner = CausalLearner::Open(plan, at::kCPU).value();
  std::filesystem::create_directories(plan.output.directory);
  ASSERT_TRUE(learner->Save(plan.output.directory).ok());

  AdamW optimizer({.weight_decay = kWeightDecay}, learner->Layout());
  ScheduleOptions schedule_options = kSchedule;
  schedule_options.type = "linear";
  const Schedule schedule = Schedule::Create(schedule_options).value();
  const auto group = collective::MakeSingleGroup();
  StepRunner runner({.num_lanes = 4, .micro_batch_rows = 2, .max_grad_norm = 1.0}, *learner, *group,
                    optimizer);
  const std::vector<stream::PackedRow> rows = AllRows(plan);

  std::vector<double> losses;
  Json batches = Json::array();
  for (int step = 1; step <= kSteps; ++step) {
    Json batch = Json::array();
    StepInput input;
    input.step = step;
    input.num_rows = 6;
    input.learning_rate = schedule.RateAt(step);
    std::deque<stream::PackedRow> due;
    for (const int64_t i : RowsOfLanes({6, 6, 4}, {0, 4}, 0)) {
      const stream::PackedRow& row = rows[(static_cast<size_t>(step) * 6 + i) % rows.size()];
      input.num_labels += row.num_labels();
      for (const Json& segment : SegmentsOf(row)) batch.push_back(segment);
      due.push_back(row);
    }
    input.next_row = [&]() -> StatusOr<stream::PackedRow> {
      stream::PackedRow row = std::move(due.front());
      due.pop_front();
      return row;
    };
    const auto result = runner.Run(input);
    ASSERT_TRUE(result.ok()) << result.status();
    losses.push_back(result->loss);
    batches.push_back(std::move(batch));
  }

  const Json request = {{"base", plan.model.directory},
                        {"adapter", plan.output.directory},
                        {"batches", batches},
                        {"learning_rate", 2e-3},
                        {"warmup_steps", 5},
                        {"weight_decay", kWeightDecay}};
  ASSERT_TRUE(WriteFileDurably(run.path("in.json"), request.dump()).ok());
  ASSERT_EQ(std::system(Cat("'", root, "/tools/oracle' '", root,
                            "/tests/unit/workers/train/golden_train/peft_curve.py' '",
                            run.path("in.json"), "' '", run.path("out.json"), "'")
                            .c_str()),
            0);
  const Json theirs = ReadJsonFile(run.path("out.json")).value();
  double worst = 0;
  for (int step = 0; step < kSteps; ++step) {
    const auto expected = theirs[step].get<double>();
    worst = std::max(worst, std::abs(losses[step] - expected) / expected);
  }
  RecordProperty("worst_relative_difference", std::to_string(worst));
  std::printf("worst relative difference %.3g, loss %.4f to %.4f\n", worst, losses.front(),
              losses.back());
  EXPECT_LT(worst, 1e-3);
  EXPECT_LT(losses.back(), 0.8 * losses.front());
}

}  // namespace
}  // namespace anamnesis::train
