// SPDX-License-Identifier: Apache-2.0
#include "workers/encoder/operations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "workers/encoder/attention.h"
#include "workers/encoder/class_loss.h"

namespace anamnesis::encoder {
namespace {

using testing::HasSubstr;

const at::TensorOptions kDoubles = at::TensorOptions().dtype(at::kDouble);

at::Tensor Leaf(at::IntArrayRef shape) {
  return at::randn(shape, kDoubles).set_requires_grad(true);
}

// The gradients of Σ y · weights by each of `leaves`, which are cleared.
std::vector<at::Tensor> Gradients(const at::Tensor& y, const at::Tensor& weights,
                                  const std::vector<at::Tensor>& leaves) {
  (y * weights).sum().backward();
  std::vector<at::Tensor> out;
  for (const at::Tensor& leaf : leaves) {
    out.push_back(leaf.grad().clone());
    leaf.mutable_grad() = at::Tensor();
  }
  return out;
}

void ExpectNear(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE((a[i] - b[i]).abs().max().item<double>(), 1e-12) << i;
  }
}

TEST(LayerNorm, HasTheGradientsOfTorchs) {
  const at::Tensor x = Leaf({7, 70}), weight = Leaf({70}), bias = Leaf({70});
  const at::Tensor probe = at::randn({7, 70}, kDoubles);
  const at::Tensor ours = LayerNorm(x, {weight, bias, 1e-5});
  const at::Tensor theirs = at::layer_norm(x, {70}, weight, bias, 1e-5);
  EXPECT_LE((ours - theirs).abs().max().item<double>(), 1e-13);
  ExpectNear(Gradients(ours, probe, {x, weight, bias}),
             Gradients(theirs, probe, {x, weight, bias}));
  const at::Tensor plain = LayerNorm(x, {weight, at::Tensor(), 1e-5});
  ExpectNear(Gradients(plain, probe, {x, weight}),
             Gradients(at::layer_norm(x, {70}, weight, {}, 1e-5), probe, {x, weight}));
}

TEST(DocumentMeans, AreOverEachDocumentsRows) {
  const at::Tensor x = Leaf({5, 3});
  const at::Tensor probe = at::randn({2, 3}, kDoubles);
  const at::Tensor theirs = at::stack({x.narrow(0, 0, 2).mean(0), x.narrow(0, 2, 3).mean(0)});
  const at::Tensor ours = DocumentMeans(x, {2, 3});
  EXPECT_LE((ours - theirs).abs().max().item<double>(), 1e-15);
  ExpectNear(Gradients(ours, probe, {x}), Gradients(theirs, probe, {x}));
}

TEST(TrainedLinear, SumsItsWeightsGradientOverPiecesOfRows) {
  model::Linear layer;
  layer.weight = Leaf({3, 4});
  layer.bias = Leaf({3});
  const at::Tensor x = Leaf({2 * kRowPiece + 5, 4});
  const at::Tensor probe = at::randn({2 * kRowPiece + 5, 3}, kDoubles);
  const at::Tensor ours = TrainedLinear().Forward(layer, x);
  const at::Tensor theirs = at::linear(x, layer.weight, layer.bias);
  const std::vector<at::Tensor> leaves = {x, layer.weight, *layer.bias};
  const auto a = Gradients(ours, probe, leaves), b = Gradients(theirs, probe, leaves);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE((a[i] - b[i]).abs().max().item<double>(), 1e-10);
  }
}

// softmax(q kᵀ / √E) with masks · v, written out.
at::Tensor PlainAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const std::vector<int64_t>& lengths, const AttentionOptions& options,
                          const adapter::DropoutContext& context) {
  std::vector<at::Tensor> out;
  int64_t start = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int64_t length = lengths[i], heads = q.size(1);
    const auto part = [&](const at::Tensor& x) {
      return x.narrow(0, start, length).transpose(0, 1);
    };
    at::Tensor scores =
        at::matmul(part(q), part(k).transpose(1, 2)) / std::sqrt(static_cast<double>(q.size(2)));
    if (options.window > 0) {
      const at::Tensor place = at::arange(length);
      const at::Tensor far = (place.unsqueeze(0) - place.unsqueeze(1)).abs().gt(options.window);
      scores = scores.masked_fill(far, -INFINITY);
    }
    at::Tensor p = at::softmax(scores, -1);
    if (context.training) {
      adapter::DropoutContext one = context;
      one.rows = {{context.rows[i].global_row, length}};
      std::vector<at::Tensor> masks;
      for (int64_t head = 0; head < heads; ++head) {
        masks.push_back(adapter::ApplyDropout(at::ones({length, length}, kDoubles), one,
                                              AttentionModule(options.layer, head),
                                              options.dropout));
      }
      p = p * at::stack(masks);
    }
    out.push_back(at::matmul(p, part(v)).transpose(0, 1).reshape({length, -1}));
    start += length;
  }
  return at::cat(out);
}

TEST(Attention, EqualsItsFormulaWithWindowsAndDropout) {
  const std::vector<int64_t> lengths = {9, 1, 6};
  const at::Tensor q = Leaf({16, 2, 5}), k = Leaf({16, 2, 5}), v = Leaf({16, 2, 5});
  const at::Tensor probe = at::randn({16, 10}, kDoubles);
  for (const int64_t window : {0, 2}) {
    for (const bool training : {false, true}) {
      const AttentionOptions options{.window = window, .dropout = 0.4, .layer = 3};
      const adapter::DropoutContext context{3, 1, {{10, 9}, {12, 1}, {11, 6}}, training};
      const at::Tensor ours = Attention(q, k, v, lengths, options, context);
      const at::Tensor plain = PlainAttention(q, k, v, lengths, options, context);
      EXPECT_LE((ours - plain).abs().max().item<double>(), 1e-13) << window << training;
      ExpectNear(Gradients(ours, probe, {q, k, v}), Gradients(plain, probe, {q, k, v}));
    }
  }
}

TEST(Dropout, IsItselfOutsideOfTrainingAndKeyedByTheRow) {
  const at::Tensor x = at::ones({6, 50}, kDoubles);
  EXPECT_TRUE(at::equal(Dropout(x, {3, 1, {}, false}, 5, 0.5), x));
  const adapter::DropoutContext both{3, 1, {{0, 2}, {7, 4}}, true};
  const adapter::DropoutContext second{3, 1, {{7, 4}}, true};
  const at::Tensor all = Dropout(x, both, 5, 0.5);
  EXPECT_FALSE(at::equal(all, x));
  EXPECT_TRUE(at::equal(all.narrow(0, 2, 4), Dropout(x.narrow(0, 2, 4), second, 5, 0.5)));
}

TEST(ClassLoss, OptionsThatMakeNoSenseAreRefused) {
  EXPECT_TRUE(CheckClassLoss({.focal = false, .gamma = 2, .class_weights = {1, 0}}, 2).ok());
  const auto error = [](const ClassLossOptions& options) {
    return MessageOf(CheckClassLoss(options, 2));
  };
  EXPECT_EQ(error({.focal = true, .gamma = -1, .class_weights = {}}),
            "focal loss: gamma -1: expected a number ≥ 0");
  EXPECT_EQ(error({.focal = false, .gamma = 2, .class_weights = {1}}),
            "class_weights: 1 weights for 2 classes");
  EXPECT_THAT(error({.focal = false, .gamma = 2, .class_weights = {1, -1}}), HasSubstr("-1"));
  EXPECT_THAT(error({.focal = false, .gamma = 2, .class_weights = {0, 0}}), HasSubstr("above 0"));
}

TEST(ClassLoss, FocalStaysFiniteWhereTheModelIsSure) {
  const at::Tensor logits =
      at::tensor({80.0F, -80.0F, -80.0F, 80.0F}).view({2, 2}).set_requires_grad(true);
  const at::Tensor labels = at::tensor({0, 0}, at::kLong);
  const ClassLossSum sum =
      ClassLoss(logits, labels, {.focal = true, .gamma = 0.5, .class_weights = {}});
  sum.loss.backward();
  EXPECT_NEAR(sum.loss.item<double>(), 160, 1e-3);
  EXPECT_TRUE(at::isfinite(logits.grad()).all().item<bool>());
}

}  // namespace
}  // namespace anamnesis::encoder
