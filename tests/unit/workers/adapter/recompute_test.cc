// SPDX-License-Identifier: Apache-2.0
// Gradient checkpointing: the same loss and gradients, bit for bit, in less memory.
#include "workers/model/recompute.h"

#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include "common/base/philox.h"
#include "tests/support/temporary_folder.h"
#include "workers/adapter/trainable.h"
#include "workers/model/family.h"
#include "workers/model/init.h"

namespace anamnesis::adapter {
namespace {

constexpr int kVocabularySize = 131;

std::string WriteTinyBase(const TemporaryFolder& folder, const std::string& family,
                          int64_t layers = 3) {
  model::ModelConfig config = model::FamilyDefaults(family);
  config.vocab_size = kVocabularySize;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.num_hidden_layers = layers;
  config.num_attention_heads = 4;
  config.num_key_value_heads = config.model_type == "phi" ? 4 : 2;
  config.head_dim = 16;
  config.initializer_range = 0.1;
  config.pad_token_id = config.pad_token_id >= kVocabularySize ? -1 : config.pad_token_id;
  if (family == "mistral" || family == "gemma2" || family == "gemma3_text") {
    config.sliding_window = 16;
    config.sliding_layers = {true, false, true};
    if (family == "mistral") config.sliding_layers = {true, true, true};
  }
  if (family == "phi") config.embd_pdrop = 0.1;
  if (family == "phi" || family == "phi3") config.resid_pdrop = 0.1;
  const Status status = model::WriteRandomModel(config, 3, folder.path());
  EXPECT_TRUE(status.ok()) << status;
  return folder.path();
}

std::unique_ptr<TrainableModel> LoadOn(const std::string& base, const std::string& dtype,
                                       const std::string& quantisation) {
  contract::ModelPlan plan;
  plan.name = "tiny";
  plan.directory = base;
  plan.dtype = dtype;
  plan.quantisation = quantisation;
  contract::LoraPlan lora;
  lora.r = 4;
  lora.alpha = 8;
  lora.dropout = 0.2;
  // The first layer is frozen: it has no backward pass.
  lora.target_regex = R"(.*layers\.[12]\..*(proj|dense|fc1|fc2))";
  lora.modules_to_save = {"lm_head"};
  auto loaded = TrainableModel::Load(plan, lora, 11);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  const at::NoGradGuard no_grad;
  (*loaded)->flat_parameters().add_(0.01);
  return std::move(*loaded);
}

// A row of these segments, and a second of one.
struct TwoRows {
  explicit TwoRows(std::vector<int32_t> lengths) : segments{std::move(lengths), {29}} {
    PhiloxStream random(1, 0);
    for (size_t row = 0; row < 2; ++row) {
      int32_t size = 0;
      for (const int32_t length : segments[row]) size += length;
      for (int32_t i = 0; i < size; ++i) {
        ids[row].push_back(static_cast<int32_t>(random.Below(kVocabularySize)));
      }
    }
    batch = model::PackBatch({{{ids[0], segments[0]}, {ids[1], segments[1]}}});
  }
  DropoutContext Dropout(int64_t step) const {
    return {/*seed=*/5, step, {{3, std::ssize(ids[0])}, {4, std::ssize(ids[1])}}, true};
  }

  std::vector<int32_t> segments[2];
  std::vector<int32_t> ids[2];
  model::PackedBatch batch;
};

struct LossAndGradient {
  double loss = 0;
  at::Tensor gradient;
};

LossAndGradient RunStep(TrainableModel* trainable, const TwoRows& rows) {
  trainable->ZeroGradient();
  const at::Tensor loss = trainable->LossSum(rows.batch, rows.Dropout(2));
  loss.backward();
  return {loss.item<double>(), trainable->flat_gradient().clone()};
}

struct Setting {
  std::string family, dtype, quantisation;
};

class Checkpointing : public testing::TestWithParam<Setting> {};

TEST_P(Checkpointing, ChangesNoBitOfLossAndGradients) {
  const TemporaryFolder folder;
  const auto trainable =
      LoadOn(WriteTinyBase(folder, GetParam().family), GetParam().dtype, GetParam().quantisation);
  const TwoRows rows({37, 5, 2});
  const LossAndGradient plain = RunStep(trainable.get(), rows);
  trainable->base().CheckpointLayers(true);
  const LossAndGradient again = RunStep(trainable.get(), rows);
  EXPECT_EQ(plain.loss, again.loss);
  EXPECT_TRUE(at::equal(plain.gradient, again.gradient));
  EXPECT_GT(plain.gradient.abs().max().item<float>(), 0);
  const at::NoGradGuard no_grad;  // an evaluation has no graph
  EXPECT_FALSE(trainable->LossSum(rows.batch, DropoutContext()).requires_grad());
}

std::vector<Setting> Settings() {
  std::vector<Setting> all;
  for (const char* family :
       {"llama", "mistral", "phi", "phi3", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3"}) {
    all.push_back({family, "float32", "none"});
    all.push_back({family, "bfloat16", "none"});
  }
  all.push_back({"llama", "float16", "none"});
  all.push_back({"llama", "bfloat16", "nf4"});
  all.push_back({"phi3", "float32", "nf4"});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Families, Checkpointing, testing::ValuesIn(Settings()),
                         [](const auto& one) {
                           return one.param.family + "_" + one.param.dtype + "_" +
                                  one.param.quantisation;
                         });

// Bytes that the graph of a forward pass holds.
size_t GraphBytes(TrainableModel* trainable, const TwoRows& rows) {
  const auto in_use = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  RunStep(trainable, rows);  // what is made once
  const size_t before = in_use();
  const at::Tensor loss = trainable->LossSum(rows.batch, rows.Dropout(2));
  return in_use() - before;
}

TEST(CheckpointedLayers, KeepTheirInputsAlone) {
  const TemporaryFolder folder;
  const auto trainable = LoadOn(WriteTinyBase(folder, "llama"), "float32", "none");
  const TwoRows rows({300, 200});
  const size_t plain = GraphBytes(trainable.get(), rows);
  trainable->base().CheckpointLayers(true);
  const size_t checkpointed = GraphBytes(trainable.get(), rows);
  std::printf("graph of 529 tokens, 2 trained layers: %zu bytes, %zu checkpointed\n", plain,
              checkpointed);
  EXPECT_LT(checkpointed, plain / 2);
}

TEST(CheckpointedLayers, RefuseAnotherMaskInTheBackwardPass) {
  const TemporaryFolder folder;
  const auto trainable = LoadOn(WriteTinyBase(folder, "llama"), "float32", "none");
  trainable->base().CheckpointLayers(true);
  const TwoRows rows({37, 5, 2});
  const at::Tensor loss = trainable->LossSum(rows.batch, rows.Dropout(2));
  const at::Tensor next = trainable->LossSum(rows.batch, rows.Dropout(3));
  EXPECT_THROW(loss.backward(), c10::Error);
  EXPECT_NO_THROW(next.backward());
}

TEST(Recomputed, PassesANanOnAsItIs) {
  at::Tensor x = at::full({2, 2}, 1.0).set_requires_grad(true);
  const at::Tensor y =
      model::Recomputed(x, [](const at::Tensor& in) { return (in - 1).log() - (in - 1).log(); });
  EXPECT_TRUE(y.isnan().all().item<bool>());
  EXPECT_NO_THROW(y.sum().backward());
  EXPECT_TRUE(x.grad().isnan().all().item<bool>());
}

}  // namespace
}  // namespace anamnesis::adapter
