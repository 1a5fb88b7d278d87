// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/dropout.h"

#include <gtest/gtest.h>

#include <cmath>

namespace anamnesis::adapter {
namespace {

DropoutContext Context(std::vector<DropoutRow> rows, int64_t step = 3) {
  DropoutContext context;
  context.seed = 0x123456789abcdefULL;
  context.step = step;
  context.rows = std::move(rows);
  context.training = true;
  return context;
}

TEST(Dropout, FollowsItsDefinitionWordByWord) {
  const DropoutContext context = Context({{9, 150}});
  const at::Tensor out = ApplyDropout(at::ones({150, 7}), context, 5, 0.25);
  const PhiloxKey key = DropoutKey(context.seed, context.step);
  for (uint32_t i = 0; i < 150 * 7; ++i) {
    const auto words = Philox4x32(key, {i / 8, 0, 9, 5});
    const uint32_t word = words[(i % 8) / 2];
    const uint32_t half = i % 2 == 0 ? word & 0xffff : word >> 16;
    const float expected = half < DropoutThreshold(0.25) ? 0.0F : 1.0F / 0.75F;
    ASSERT_FLOAT_EQ(out.const_data_ptr<float>()[i], expected) << i;
  }
}

TEST(Dropout, DropsTheAskedFractionAndKeepsTheMean) {
  const double p = 0.1;
  const at::Tensor out = ApplyDropout(at::ones({1000, 512}), Context({{0, 1000}}), 0, p);
  const double dropped = out.eq(0).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(dropped, p, 5 * std::sqrt(p * (1 - p) / 512000));
  EXPECT_NEAR(out.to(at::kDouble).mean().item<double>(), 1.0, 0.005);
}

TEST(Dropout, OfARowDoesNotDependOnItsBatch) {
  const at::Tensor x = at::rand({30, 33});
  const at::Tensor together = ApplyDropout(x, Context({{4, 11}, {5, 19}}), 2, 0.3);
  const at::Tensor first = ApplyDropout(x.narrow(0, 0, 11), Context({{4, 11}}), 2, 0.3);
  const at::Tensor second = ApplyDropout(x.narrow(0, 11, 19), Context({{5, 19}}), 2, 0.3);
  EXPECT_TRUE(at::equal(together, at::cat({first, second})));
}

TEST(Dropout, DiffersByRowStepAndModule) {
  const at::Tensor x = at::ones({8, 64});
  const at::Tensor base = ApplyDropout(x, Context({{0, 8}}), 0, 0.5);
  EXPECT_FALSE(at::equal(base, ApplyDropout(x, Context({{1, 8}}), 0, 0.5)));
  EXPECT_FALSE(at::equal(base, ApplyDropout(x, Context({{0, 8}}, 4), 0, 0.5)));
  EXPECT_FALSE(at::equal(base, ApplyDropout(x, Context({{0, 8}}), 1, 0.5)));
  EXPECT_TRUE(at::equal(base, ApplyDropout(x, Context({{0, 8}}), 0, 0.5)));
}

TEST(Dropout, HasOneMaskForEveryDtype) {
  const at::Tensor x = at::ones({5, 41});
  const DropoutContext context = Context({{0, 5}});
  const at::Tensor mask = ApplyDropout(x, context, 0, 0.5).eq(0);
  for (const at::ScalarType dtype : {at::kDouble, at::kBFloat16}) {
    EXPECT_TRUE(at::equal(mask, ApplyDropout(x.to(dtype), context, 0, 0.5).eq(0)));
  }
}

TEST(Dropout, OfNothingKeepsEverything) {
  const at::Tensor x = at::rand({3, 5});
  EXPECT_TRUE(at::equal(x, ApplyDropout(x, Context({{0, 3}}), 0, 0.0)));
}

}  // namespace
}  // namespace anamnesis::adapter
