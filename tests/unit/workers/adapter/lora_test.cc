// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/lora.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/support/watched_weight.h"

namespace anamnesis::adapter {
namespace {

constexpr int64_t kTokens = 300, kInputs = 192, kOutputs = 130, kRank = 4;

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed));
}

LoraWeights Weights() {
  return {Random({kRank, kInputs}, 1).set_requires_grad(true),
          Random({kOutputs, kRank}, 2).set_requires_grad(true), /*scale=*/0.5, /*dropout=*/0.1};
}

DropoutContext Training() { return {/*seed=*/3, /*step=*/1, {{0, kTokens}}, /*training=*/true}; }

// Output and the gradients of x, A and B.
std::vector<at::Tensor> RunLayer(const model::Linear& layer, at::ScalarType dtype) {
  const LoraWeights lora = Weights();
  const at::Tensor x = Random({kTokens, kInputs}, 4).to(dtype).set_requires_grad(true);
  const at::Tensor y = LoraForward(x, layer, lora, Training());
  y.backward(Random({kTokens, kOutputs}, 5).to(dtype));
  return {y.detach(), x.grad(), lora.a_RI.grad(), lora.b_OR.grad()};
}

TEST(LoraOnAPackedWeight, HasTheBitsOfLoraOnItsDecodedValues) {
  const int before = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    model::Linear packed, dense;
    packed.packed = *model::Nf4Weight::Quantise(Random({kOutputs, kInputs}, 6));
    packed.bias = dense.bias = Random({kOutputs}, 7).to(dtype);
    dense.weight = packed.packed->Dense(dtype);
    at::set_num_threads(1);
    const std::vector<at::Tensor> expected = RunLayer(dense, dtype);
    for (int threads = 1; threads <= 4; ++threads) {
      at::set_num_threads(threads);
      const std::vector<at::Tensor> ours = RunLayer(packed, dtype);
      for (size_t i = 0; i < ours.size(); ++i) {
        EXPECT_TRUE(at::equal(ours[i], expected[i])) << i << " on " << threads << " threads";
      }
    }
  }
  at::set_num_threads(before);
}

TEST(LoraOnAPackedWeight, KeepsNoDenseCopyForTheBackwardPass) {
  const auto weight = c10::make_intrusive<model::WatchedWeight>(Random({kOutputs, kInputs}, 6));
  model::Linear layer;
  layer.packed = weight;
  const LoraWeights lora = Weights();
  const at::Tensor x = Random({kTokens, kInputs}, 4).set_requires_grad(true);
  const at::Tensor y = LoraForward(x, layer, lora, Training());
  EXPECT_EQ(weight->num_decoded(), 1);
  EXPECT_EQ(weight->num_alive(), 0);
  y.sum().backward();
  EXPECT_EQ(weight->num_decoded(), 2);
  EXPECT_EQ(weight->num_alive(), 0);
}

TEST(LoraOnAPackedWeight, IsNotDecodedAgainWhereTheInputNeedsNoGradient) {
  const auto weight = c10::make_intrusive<model::WatchedWeight>(Random({kOutputs, kInputs}, 6));
  model::Linear layer;
  layer.packed = weight;
  LoraForward(Random({kTokens, kInputs}, 4), layer, Weights(), Training()).sum().backward();
  EXPECT_EQ(weight->num_decoded(), 1);
}

}  // namespace
}  // namespace anamnesis::adapter
