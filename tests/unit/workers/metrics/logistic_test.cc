// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/logistic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/base/philox.h"

namespace anamnesis::metrics {
namespace {

using ::testing::HasSubstr;

SparseMatrix Column(const std::vector<double>& values) {
  SparseMatrix matrix;
  matrix.num_columns = 1;
  for (const double value : values) {
    if (value != 0) matrix.AddValue(0, value);
    matrix.EndRow();
  }
  return matrix;
}

TEST(Logistic, WithoutFeaturesTheInterceptIsThePrevalence) {
  const std::vector<int32_t> labels = {0, 0, 0, 1};
  const auto model = FitLogistic(Column({0, 0, 0, 0}), labels, 2);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->weights_KV[0], 0);
  EXPECT_NEAR(model->intercepts_K[0], std::log(1.0 / 3), 1e-12);
}

TEST(Logistic, TheGradientVanishesAtTheOptimumOfASeparableCase) {
  const std::vector<int32_t> labels = {0, 0, 1, 1};
  const auto model = FitLogistic(Column({-1, -2, 1, 2}), labels, 2);
  ASSERT_TRUE(model.ok()) << model.status();
  const double w = model->weights_KV[0];
  const double gradient = w - 2 / (1 + std::exp(w)) - 4 / (1 + std::exp(2 * w));
  EXPECT_NEAR(gradient, 0, 1e-12);
  EXPECT_NEAR(model->intercepts_K[0], 0, 1e-12);
}

TEST(Logistic, InterceptsOfSeveralClassesSumToZero) {
  const std::vector<int32_t> labels = {0, 0, 1, 2, 2, 2};
  const auto model = FitLogistic(Column({0, 1, 0, 1, 3, 2}), labels, 3);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_NEAR(model->intercepts_K[0] + model->intercepts_K[1] + model->intercepts_K[2], 0, 1e-12);
  EXPECT_NEAR(model->weights_KV[0] + model->weights_KV[1] + model->weights_KV[2], 0, 1e-9);
}

TEST(Logistic, LargeCountsConverge) {
  PhiloxStream random(1, 1);
  SparseMatrix matrix;
  matrix.num_columns = 3;
  std::vector<int32_t> labels;
  for (int row = 0; row < 200; ++row) {
    matrix.AddValue(0, static_cast<double>(random.Below(5000)));
    matrix.AddValue(1, static_cast<double>(random.Below(2)));
    matrix.AddValue(2, 1e-3 * random.Uniform());
    matrix.EndRow();
    labels.push_back(random.Uniform() < 0.3 ? 1 : 0);
  }
  EXPECT_TRUE(FitLogistic(matrix, labels, 2).ok());
}

TEST(Logistic, TheSameRowsGiveTheSameBits) {
  const std::vector<int32_t> labels = {0, 1, 0, 1, 1};
  const SparseMatrix matrix = Column({0, 1, 2, 3, 1});
  EXPECT_EQ(FitLogistic(matrix, labels, 2)->weights_KV, FitLogistic(matrix, labels, 2)->weights_KV);
}

TEST(Logistic, RefusesAClassWithoutRows) {
  const std::vector<int32_t> labels = {0, 0};
  const Status status = FitLogistic(Column({1, 2}), labels, 2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("no row of class 1"));
}

TEST(Logistic, RefusesWhatIsNotWellFormed) {
  const std::vector<int32_t> labels = {0, 1};
  const auto code = [&](const SparseMatrix& matrix) {
    return FitLogistic(matrix, labels, 2).status().code();
  };
  SparseMatrix matrix = Column({1, 2});
  matrix.columns[1] = 1;
  EXPECT_EQ(code(matrix), absl::StatusCode::kInvalidArgument);
  matrix = Column({1, 2});
  matrix.row_starts = {0, 2, 1};
  EXPECT_EQ(code(matrix), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Column({1, std::nan("")})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Column({1, 2, 3})), absl::StatusCode::kInvalidArgument);
  const std::vector<int32_t> beyond = {0, 2};
  EXPECT_EQ(FitLogistic(Column({1, 2}), beyond, 2).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FitLogistic(Column({1, 2}), labels, 2, {.c = 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
  const LogisticModel model = FitLogistic(Column({1, 2}), labels, 2).value();
  matrix.num_columns = 5;
  matrix.row_starts = {0, 1, 2};
  EXPECT_EQ(LogitsOf(model, matrix).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace anamnesis::metrics
