// SPDX-License-Identifier: Apache-2.0
#include "workers/model/frozen_weight.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/watched_weight.h"
#include "workers/model/linear.h"

namespace anamnesis::model {
namespace {

using testing::HasSubstr;

at::Tensor Random(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(7)).to(dtype);
}

FrozenWeightPtr Quantised(const at::Tensor& weight) {
  auto packed = Nf4Weight::Quantise(weight);
  EXPECT_TRUE(packed.ok()) << packed.status();
  return *packed;
}

TEST(Nf4Weight, DecodesToEveryComputeDtypeFromTheSameFp32Values) {
  const FrozenWeightPtr weight = Quantised(Random({33, 50}));
  EXPECT_EQ(weight->out_features(), 33);
  EXPECT_EQ(weight->in_features(), 50);
  const at::Tensor wide = weight->Dense(at::kFloat);
  EXPECT_EQ(wide.sizes(), (at::IntArrayRef{33, 50}));
  EXPECT_TRUE(at::equal(weight->Dense(at::kDouble), wide.to(at::kDouble)));
  EXPECT_TRUE(at::equal(weight->Dense(at::kBFloat16), wide.to(at::kBFloat16)));
  EXPECT_TRUE(at::equal(weight->Dense(at::kHalf), wide.to(at::kHalf)));
}

TEST(Nf4Weight, BitsDoNotDependOnTheNumberOfThreads) {
  const at::Tensor source = Random({517, 1031}, at::kBFloat16);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const FrozenWeightPtr weight = Quantised(source);
  const at::Tensor dense = weight->Dense(at::kBFloat16);
  for (int threads = 2; threads <= 4; ++threads) {
    at::set_num_threads(threads);
    EXPECT_TRUE(at::equal(weight->Dense(at::kBFloat16), dense)) << threads;
    EXPECT_TRUE(at::equal(Quantised(source)->Dense(at::kFloat), weight->Dense(at::kFloat)))
        << threads;
  }
  at::set_num_threads(before);
}

TEST(Nf4Weight, TheFirstElementThatIsNotFiniteIsNamed) {
  at::Tensor source = Random({200, 1000});
  source[150][3] = std::numeric_limits<float>::infinity();
  source[80][1] = std::numeric_limits<float>::quiet_NaN();
  const auto packed = Nf4Weight::Quantise(source);
  EXPECT_EQ(packed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(packed.status()), HasSubstr("element 80001 of 200000 is NaN"));
}

TEST(Nf4Weight, OtherDtypesAreRefusedByName) {
  const auto packed = Nf4Weight::Quantise(at::ones({4, 4}, at::kDouble));
  EXPECT_THAT(MessageOf(packed.status()), HasSubstr("a tensor of dtype Double"));
}

TEST(FrozenLinear, OutputAndInputGradientAreThoseOfTheDecodedWeight) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Linear packed, dense;
    packed.packed = Quantised(Random({40, 96}));
    packed.bias = dense.bias = Random({40}, dtype);
    dense.weight = packed.packed->Dense(dtype);
    const at::Tensor x = Random({7, 96}, dtype), dy = Random({7, 40}, dtype);
    const at::Tensor a = x.clone().set_requires_grad(true), b = x.clone().set_requires_grad(true);
    const at::Tensor ours = packed.Forward(a), theirs = dense.Forward(b);
    EXPECT_TRUE(at::equal(ours, theirs));
    ours.backward(dy);
    theirs.backward(dy);
    EXPECT_TRUE(at::equal(a.grad(), b.grad()));
    EXPECT_EQ(packed.in_features(), 96);
    EXPECT_EQ(packed.out_features(), 40);
  }
}

TEST(FrozenLinear, KeepsNoDenseCopyForTheBackwardPass) {
  const auto weight = c10::make_intrusive<WatchedWeight>(Random({40, 96}));
  const at::Tensor x = Random({7, 96}).set_requires_grad(true);
  const at::Tensor y = FrozenLinear(x, weight, c10::nullopt);
  EXPECT_EQ(weight->num_decoded(), 1);
  EXPECT_EQ(weight->num_alive(), 0);
  y.sum().backward();
  EXPECT_EQ(weight->num_decoded(), 2);
  EXPECT_EQ(weight->num_alive(), 0);
  EXPECT_TRUE(x.grad().defined());
}

TEST(FrozenLinear, GraphOutlivesItsLayer) {
  const at::Tensor x = Random({7, 96}).set_requires_grad(true);
  at::Tensor y;
  {
    Linear layer;
    layer.packed = Quantised(Random({40, 96}));
    y = layer.Forward(x);
  }
  y.sum().backward();
  EXPECT_TRUE(x.grad().defined());
}

}  // namespace
}  // namespace anamnesis::model
