// SPDX-License-Identifier: Apache-2.0
#include "workers/model/reused_buffer.h"

#include <gtest/gtest.h>

namespace anamnesis::model {
namespace {

TEST(ReusedBuffer, IsNotUsedAgainWhileAViewLives) {
  at::Tensor first = ReusedBuffer({100, 300}, at::kFloat);
  const void* data = first.const_data_ptr();
  const at::Tensor view = first[3];
  first = at::Tensor();
  EXPECT_NE(ReusedBuffer({10}, at::kFloat).const_data_ptr(), data) << "a view keeps it";
}

TEST(ReusedBuffer, ASmallerTensorTakesTheKeptBuffer) {
  const void* data = ReusedBuffer({1000, 300}, at::kFloat).const_data_ptr();
  EXPECT_EQ(ReusedBuffer({100, 300}, at::kBFloat16).const_data_ptr(), data);
  EXPECT_EQ(ReusedBuffer({1000, 300}, at::kFloat).const_data_ptr(), data);
}

TEST(ReusedBuffer, TensorsThatLiveTogetherHaveBuffersOfTheirOwn) {
  const at::Tensor a = ReusedBuffer({50}, at::kFloat), b = ReusedBuffer({50}, at::kFloat);
  a.fill_(1);
  b.fill_(2);
  EXPECT_EQ(a.sum().item<float>(), 50);
  EXPECT_EQ(b.sum().item<float>(), 100);
  EXPECT_EQ(ReusedBuffer({0, 4}, at::kFloat).numel(), 0);
}

}  // namespace
}  // namespace anamnesis::model
