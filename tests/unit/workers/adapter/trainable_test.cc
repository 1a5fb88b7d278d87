// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/trainable.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/philox.h"
#include "common/io/file.h"
#include "tests/support/temporary_folder.h"
#include "workers/adapter/peft_files.h"
#include "workers/model/head_loss.h"
#include "workers/model/init.h"
#include "workers/model/weights.h"

namespace anamnesis::adapter {
namespace {

using testing::HasSubstr;

constexpr int kVocabulary = 331;

// One random base for all tests of this file.
const std::string& BaseDirectory() {
  static const TemporaryFolder* scratch = [] {
    auto* made = new TemporaryFolder();
    std::atexit([] { std::filesystem::remove_all(BaseDirectory()); });
    model::ModelConfig config;
    config.vocab_size = kVocabulary;
    config.hidden_size = 96;
    config.intermediate_size = 200;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 6;
    config.num_key_value_heads = 2;
    config.head_dim = 24;
    config.initializer_range = 0.1;
    EXPECT_TRUE(model::WriteRandomModel(config, 3, made->path()).ok());
    return made;
  }();
  return scratch->path();
}

contract::ModelPlan Base(const std::string& dtype = "float32") {
  contract::ModelPlan plan;
  plan.name = "tiny";
  plan.directory = BaseDirectory();
  plan.dtype = dtype;
  return plan;
}

contract::LoraPlan Lora() {
  contract::LoraPlan plan;
  plan.r = 4;
  plan.alpha = 8;
  plan.all_linear = true;
  plan.modules_to_save = {"embed_tokens", "lm_head"};
  return plan;
}

std::unique_ptr<TrainableModel> Load(const contract::LoraPlan& lora,
                                     const std::string& dtype = "float32", uint64_t seed = 11) {
  auto loaded = TrainableModel::Load(Base(dtype), lora, seed);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  // B is zero at first, and so would be the gradient of A.
  const at::NoGradGuard no_grad;
  (*loaded)->flat_parameters().add_(0.01);
  return std::move(*loaded);
}

struct Row {
  std::vector<int32_t> ids;
  std::vector<int32_t> segments;
  model::RowView view() const { return {ids, segments}; }
};

Row RandomRow(uint64_t seed, std::vector<int32_t> segments) {
  Row row{{}, std::move(segments)};
  PhiloxStream random(seed, 0);
  for (const int32_t length : row.segments) {
    for (int32_t i = 0; i < length; ++i) {
      row.ids.push_back(static_cast<int32_t>(random.Below(kVocabulary)));
    }
  }
  return row;
}

DropoutContext Training(std::vector<DropoutRow> rows) {
  return {/*seed=*/5, /*step=*/2, std::move(rows), /*training=*/true};
}

TEST(Gradients, AreBitIdenticalForEveryNumberOfThreads) {
  const Row a = RandomRow(1, {333, 61}), b = RandomRow(2, {7, 2, 300});
  const DropoutContext dropout = Training({{0, 394}, {1, 309}});
  contract::LoraPlan lora = Lora();
  lora.dropout = 0.1;
  const int before = at::get_num_threads();
  for (const char* dtype : {"float32", "bfloat16", "float16"}) {
    const auto trainable = Load(lora, dtype);
    const model::PackedBatch batch = model::PackBatch({{a.view(), b.view()}});
    at::Tensor gradient, loss;
    for (int threads = 1; threads <= 4; ++threads) {
      at::set_num_threads(threads);
      trainable->ZeroGradient();
      const at::Tensor sum = trainable->LossSum(batch, dropout);
      sum.backward();
      if (threads == 1) {
        gradient = trainable->flat_gradient().clone();
        loss = sum.detach();
      }
      EXPECT_TRUE(at::equal(gradient, trainable->flat_gradient())) << dtype << " " << threads;
      EXPECT_TRUE(at::equal(loss, sum.detach())) << dtype << " " << threads;
    }
    EXPECT_GT(gradient.abs().max().item<float>(), 0);
  }
  at::set_num_threads(before);
}

TEST(Gradients, OfRowsTogetherAndApartAgreeWithDropout) {
  const Row a = RandomRow(1, {33, 6}), b = RandomRow(2, {17, 9});
  contract::LoraPlan lora = Lora();
  lora.dropout = 0.2;
  auto loaded = TrainableModel::Load(Base(), lora, 1, at::kCPU, at::kDouble);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  TrainableModel& trainable = **loaded;
  trainable.LossSum(model::PackBatch({{a.view(), b.view()}}), Training({{6, 39}, {7, 26}}))
      .backward();
  const at::Tensor together = trainable.flat_gradient().clone();
  trainable.ZeroGradient();
  // Both forward passes before the backward ones: each keeps its own mask.
  const at::Tensor first = trainable.LossSum(model::PackBatch({{a.view()}}), Training({{6, 39}}));
  const at::Tensor second = trainable.LossSum(model::PackBatch({{b.view()}}), Training({{7, 26}}));
  first.backward();
  second.backward();
  EXPECT_LT((together - trainable.flat_gradient()).abs().max().item<double>(), 1e-10);
}

TEST(Gradients, AgreeWithFiniteDifferencesUnderDropout) {
  const Row row = RandomRow(4, {12, 5});
  const model::PackedBatch batch = model::PackBatch({{row.view()}});
  contract::LoraPlan lora = Lora();
  lora.dropout = 0.3;
  auto loaded = TrainableModel::Load(Base(), lora, 1, at::kCPU, at::kDouble);
  TrainableModel& trainable = **loaded;
  const at::NoGradGuard no_grad;
  const at::Tensor parameters = trainable.flat_parameters();
  parameters.add_(0.01);
  {
    const at::AutoGradMode on(true);
    trainable.LossSum(batch, Training({{0, 17}})).backward();
  }
  const auto loss = [&] { return trainable.LossSum(batch, Training({{0, 17}})).item<double>(); };
  for (const NamedParameter& parameter : trainable.parameters()) {
    if (!parameter.name.ends_with("lora_A.weight") && !parameter.name.ends_with("lora_B.weight")) {
      continue;
    }
    const int64_t i = parameter.offset + 3;
    const double before = parameters[i].item<double>(), h = 1e-6;
    parameters[i] = before + h;
    const double above = loss();
    parameters[i] = before - h;
    const double below = loss();
    parameters[i] = before;
    EXPECT_NEAR(trainable.flat_gradient()[i].item<double>(), (above - below) / (2 * h), 1e-5)
        << parameter.name;
  }
}

TEST(TrainableModel, ListsItsParametersInModelOrder) {
  const auto trainable = Load(Lora());
  const auto& parameters = trainable->parameters();
  ASSERT_EQ(parameters.size(), 2 + 2 * 7 * 2);
  EXPECT_EQ(parameters.front().name, "base_model.model.model.embed_tokens.weight");
  EXPECT_EQ(parameters[1].name, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
  EXPECT_EQ(parameters[2].name, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
  EXPECT_EQ(parameters.back().name, "base_model.model.lm_head.weight");
  EXPECT_EQ(parameters.back().offset + parameters.back().master.numel(),
            trainable->flat_parameters().numel());
  for (const model::Linear* linear : trainable->base().linears()) {
    EXPECT_EQ(linear->weight.requires_grad(), linear->name == "lm_head") << linear->name;
  }
}

TEST(TrainableModel, StartsAsItsBase) {
  auto fresh = TrainableModel::Load(Base(), Lora(), 11);
  auto base = model::Decoder::Load(BaseDirectory(), at::kFloat);
  const Row row = RandomRow(1, {20});
  const model::PackedBatch batch = model::PackBatch({{row.view()}});
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal((*fresh)->Logits(batch), (*base)->Logits(batch)));
  const at::Tensor a = (*fresh)->parameters()[1].master;
  const double bound = 1.0 / std::sqrt(96.0);
  EXPECT_LE(a.abs().max().item<double>(), bound);
  EXPECT_NEAR(a.to(at::kDouble).std().item<double>(), bound / std::sqrt(3.0), 0.005);
}

TEST(TrainableModel, IsAFunctionOfItsSeed) {
  const auto a = Load(Lora()), b = Load(Lora()), c = Load(Lora(), "float32", 12);
  EXPECT_TRUE(at::equal(a->flat_parameters(), b->flat_parameters()));
  EXPECT_FALSE(at::equal(a->flat_parameters(), c->flat_parameters()));
}

TEST(TrainableModel, MakesNoGradientInEvaluation) {
  const auto trainable = Load(Lora());
  const Row row = RandomRow(1, {20});
  const model::PackedBatch batch = model::PackBatch({{row.view()}});
  const at::Tensor graph = trainable->LossSum(batch, DropoutContext());
  const at::NoGradGuard no_grad;
  const at::Tensor loss = trainable->LossSum(batch, DropoutContext());
  EXPECT_FALSE(loss.requires_grad());
  EXPECT_EQ(loss.item<double>(), graph.item<double>());
}

TEST(TrainableModel, KeepsItsBitsThroughSaveAndLoad) {
  const TemporaryFolder scratch;
  const auto saved = Load(Lora());
  ASSERT_TRUE(saved->SaveAdapter(scratch.path()).ok());
  const auto loaded = Load(Lora(), "float32", 99);
  const Status status = loaded->LoadAdapter(scratch.path());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(at::equal(saved->flat_parameters(), loaded->flat_parameters()));
  EXPECT_THAT(*ReadFile(scratch.File("README.md")), HasSubstr("library_name: peft"));
}

TEST(TrainableModel, RefusesAnAdapterOfAnotherShapeAndChangesNothing) {
  const TemporaryFolder scratch;
  ASSERT_TRUE(Load(Lora())->SaveAdapter(scratch.path()).ok());
  contract::LoraPlan other = Lora();
  other.r = 5;
  const auto trainable = Load(other);
  const at::Tensor before = trainable->flat_parameters().clone();
  EXPECT_THAT(MessageOf(trainable->LoadAdapter(scratch.path())),
              HasSubstr("r of model.layers.0.self_attn.q_proj: 4, expected 5"));
  other = Lora();
  other.modules_to_save.clear();
  EXPECT_THAT(MessageOf(Load(other)->LoadAdapter(scratch.path())), HasSubstr("modules_to_save"));
  EXPECT_TRUE(at::equal(before, trainable->flat_parameters()));
}

TEST(TrainableModel, RefusesMissingExtraAndMisshapedTensors) {
  const TemporaryFolder scratch;
  const auto trainable = Load(Lora());
  ASSERT_TRUE(trainable->SaveAdapter(scratch.path()).ok());
  std::vector<model::TensorView> views;
  for (const NamedParameter& parameter : trainable->parameters()) {
    views.push_back(*model::ViewOf(parameter.name, parameter.master.detach()));
  }
  views[1].name = "stranger";
  std::swap(views[2].shape[0], views[2].shape[1]);
  ASSERT_TRUE(model::WriteSafetensors(scratch.File("adapter_model.safetensors"), views).ok());
  const std::string text = MessageOf(trainable->LoadAdapter(scratch.path()));
  EXPECT_THAT(text, HasSubstr("missing (1): " + trainable->parameters()[1].name));
  EXPECT_THAT(text, HasSubstr("shape or dtype (1): " + trainable->parameters()[2].name));
  EXPECT_THAT(text, HasSubstr("not expected (1): stranger"));
}

TEST(HeadLoss, EqualsPlainCrossEntropyOverManyChunks) {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor hidden = at::randn({1100, 6}, options).requires_grad_(true);
  const at::Tensor weight = at::randn({17, 6}, options).requires_grad_(true);
  const at::Tensor labels = at::randint(17, {1100}, at::TensorOptions().dtype(at::kLong));
  (model::HeadLossSum(hidden, weight, labels) / 3).backward();
  const at::Tensor ours_hidden = hidden.grad().clone(), ours_weight = weight.grad().clone();
  hidden.mutable_grad().zero_();
  weight.mutable_grad().zero_();
  const at::Tensor plain =
      at::cross_entropy_loss(hidden.mm(weight.t()), labels, {}, at::Reduction::Sum);
  EXPECT_NEAR(model::HeadLossSum(hidden, weight, labels).item<double>(), plain.item<double>(),
              1e-9);
  (plain / 3).backward();
  EXPECT_LT((ours_hidden - hidden.grad()).abs().max().item<double>(), 1e-12);
  EXPECT_LT((ours_weight - weight.grad()).abs().max().item<double>(), 1e-11);
}

TEST(Decoder, RefusesADirectoryThatIsNotAModel) {
  const TemporaryFolder scratch;
  EXPECT_EQ(ExitCodeOf(model::Decoder::Load(scratch.path(), at::kFloat).status()), 6);
  ASSERT_TRUE(WriteFileDurably(scratch.File("config.json"), "{ no json").ok());
  const Status broken = model::Decoder::Load(scratch.path(), at::kFloat).status();
  EXPECT_EQ(ExitCodeOf(broken), 6);
  EXPECT_THAT(MessageOf(broken), HasSubstr("not valid JSON"));
}

TEST(Decoder, RefusesMissingTensorsAndTruncatedWeights) {
  const TemporaryFolder scratch;
  std::filesystem::copy(BaseDirectory(), scratch.path(), std::filesystem::copy_options::recursive);
  Json config = *ReadJsonFile(scratch.File("config.json"));
  config["num_hidden_layers"] = 3;
  ASSERT_TRUE(WriteFileDurably(scratch.File("config.json"), config.dump()).ok());
  const Status missing = model::Decoder::Load(scratch.path(), at::kFloat).status();
  EXPECT_THAT(MessageOf(missing), HasSubstr("missing (9): model.layers.2.input_layernorm.weight"));
  EXPECT_EQ(ExitCodeOf(missing), 6);
  std::filesystem::resize_file(scratch.File("model.safetensors"), 100000);
  EXPECT_EQ(ExitCodeOf(model::Decoder::Load(scratch.path(), at::kFloat).status()), 6);
}

}  // namespace
}  // namespace anamnesis::adapter
