// SPDX-License-Identifier: Apache-2.0
// What holds for the decoder of every family, on tiny random bases: bits for any number of threads,
// segments apart from each other, products in the model's dtype, the config's own dropouts. Values
// are checked by tests/golden.
#include "workers/model/decoder.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <set>

#include "common/base/philox.h"
#include "tests/support/temporary_folder.h"
#include "workers/adapter/trainable.h"
#include "workers/model/family.h"
#include "workers/model/init.h"

namespace anamnesis::model {
namespace {

using adapter::DropoutContext;
using adapter::TrainableModel;

constexpr int kVocabulary = 331;

// Two layers of every kind, kv ≠ heads, head_dim ≠ hidden / heads, a window below the documents.
ModelConfig Tiny(const std::string& type) {
  ModelConfig config = FamilyDefaults(type);
  config.vocab_size = kVocabulary;
  config.hidden_size = 96;
  config.intermediate_size = 200;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 2;
  config.head_dim = 24;
  config.max_position_embeddings = 512;
  config.initializer_range = 0.1;
  config.pad_token_id = -1;
  if (FindFamily(type)->default_window >= 0) {
    config.sliding_window = 50;
    config.sliding_layers = {true, type == "mistral" || type == "phi3"};
  }
  if (config.attn_logit_softcapping > 0) config.attn_logit_softcapping = 2;
  if (type == "qwen3") {
    config.rope = {.type = "yarn", .factor = 4, .original_max_position_embeddings = 64};
  }
  if (type == "phi3") {
    config.rope = {.type = "longrope", .original_max_position_embeddings = 128};
    config.rope.short_factor.assign(12, 1.5);
    config.rope.long_factor.assign(12, 3.0);
  }
  return config;
}

struct Row {
  std::vector<int32_t> ids, segments;
  RowView view() const { return {ids, segments}; }
};

Row RandomRow(std::vector<int32_t> segments) {
  Row row{{}, std::move(segments)};
  PhiloxStream random(1, 0);
  for (const int32_t length : row.segments) {
    for (int32_t i = 0; i < length; ++i) {
      row.ids.push_back(static_cast<int32_t>(random.Below(kVocabulary)));
    }
  }
  return row;
}

class DecoderOf : public testing::TestWithParam<std::string> {
 protected:
  void Write(const ModelConfig& config) {
    const Status status = WriteRandomModel(config, 3, folder_.path());
    ASSERT_TRUE(status.ok()) << status;
  }
  std::unique_ptr<TrainableModel> Load(at::ScalarType dtype) {
    contract::ModelPlan plan;
    plan.directory = folder_.path();
    contract::LoraPlan lora;
    lora.r = 4;
    lora.all_linear = true;
    auto loaded = TrainableModel::Load(plan, lora, 11, at::kCPU, dtype);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    if (!loaded.ok()) return nullptr;
    const at::NoGradGuard no_grad;
    (*loaded)->flat_parameters().add_(0.01);
    return std::move(*loaded);
  }

  TemporaryFolder folder_;
};

TEST_P(DecoderOf, HasBitsThatDoNotDependOnTheNumberOfThreads) {
  Write(Tiny(GetParam()));
  const Row row = RandomRow({233, 61, 7, 2, 190});
  const PackedBatch batch = PackBatch({{row.view()}});
  const int before = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto trainable = Load(dtype);
    ASSERT_NE(trainable, nullptr);
    at::Tensor gradient, loss;
    for (int threads = 1; threads <= 4; ++threads) {
      at::set_num_threads(threads);
      trainable->ZeroGradient();
      const at::Tensor sum = trainable->LossSum(batch, DropoutContext());
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

TEST_P(DecoderOf, KeepsSegmentsApart) {
  Write(Tiny(GetParam()));
  const auto trainable = Load(at::kDouble);
  ASSERT_NE(trainable, nullptr);
  const Row packed = RandomRow({140, 3, 81});  // 140: beyond the window and longrope's first length
  const at::Tensor together = trainable->Logits(PackBatch({{packed.view()}}));
  size_t start = 0;
  for (const int32_t length : packed.segments) {
    const Row alone{{packed.ids.begin() + static_cast<int64_t>(start),
                     packed.ids.begin() + static_cast<int64_t>(start) + length},
                    {length}};
    const at::Tensor part = together.narrow(0, static_cast<int64_t>(start), length);
    const at::Tensor logits = trainable->Logits(PackBatch({{alone.view()}}));
    EXPECT_LT((part - logits).abs().max().item<double>(), 1e-11);
    start += static_cast<size_t>(length);
  }
}

// The dtypes of the operands of every matrix product and attention call while it lives.
class ProductTypes {
 public:
  ProductTypes() {
    seen_ = &types_;
    handle_ = at::addGlobalCallback(at::RecordFunctionCallback(&Record).needsInputs(true).scopes(
        {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  }
  ~ProductTypes() { at::removeCallback(handle_); }
  const std::map<std::string, std::set<at::ScalarType>>& types() const { return types_; }

 private:
  static std::unique_ptr<at::ObserverContext> Record(const at::RecordFunction& function) {
    static const std::set<std::string> kProducts = {
        "aten::mm",
        "aten::addmm",
        "aten::addmm_",
        "aten::bmm",
        "aten::baddbmm",
        "aten::linear",
        "aten::matmul",
        "mkldnn::_linear_pointwise",
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
        "aten::_scaled_dot_product_attention_math"};
    const std::string name = function.name();
    if (!kProducts.contains(name)) return nullptr;
    static std::mutex mutex;  // the backward pass may run in a thread of its own
    const std::lock_guard<std::mutex> lock(mutex);
    for (const c10::IValue& input : function.inputs()) {
      if (!input.isTensor() || !input.toTensor().defined()) continue;
      const at::ScalarType type = input.toTensor().scalar_type();
      if (at::isFloatingType(type)) (*seen_)[name].insert(type);
    }
    return nullptr;
  }

  inline static std::map<std::string, std::set<at::ScalarType>>* seen_ = nullptr;
  std::map<std::string, std::set<at::ScalarType>> types_;
  at::CallbackHandle handle_;
};

TEST_P(DecoderOf, MultipliesInItsOwnDtype) {
  Write(Tiny(GetParam()));
  const Row row = RandomRow({70, 9});
  const PackedBatch batch = PackBatch({{row.view()}});
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto trainable = Load(dtype);
    ASSERT_NE(trainable, nullptr);
    const ProductTypes products;
    trainable->LossSum(batch, DropoutContext()).backward();
    EXPECT_TRUE(products.types().contains("aten::mm"));
    for (const auto& [name, types] : products.types()) {
      if (name == "aten::_scaled_dot_product_flash_attention_for_cpu_backward") {
        EXPECT_TRUE(types.contains(dtype));  // the row sums beside its operands are fp32
        continue;
      }
      EXPECT_EQ(types, std::set<at::ScalarType>{dtype}) << name << " for " << dtype;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, DecoderOf,
                         testing::Values("llama", "mistral", "phi", "phi3", "gemma", "gemma2",
                                         "gemma3_text", "qwen2", "qwen3"),
                         [](const auto& one) { return one.param; });

class ResidDropout : public DecoderOf {};

TEST_P(ResidDropout, IsAppliedInTrainingAloneAndIsAFunctionOfTheRow) {
  ModelConfig config = Tiny(GetParam());
  config.resid_pdrop = 0.2;
  if (GetParam() == "phi") config.embd_pdrop = 0.1;
  Write(config);
  const auto trainable = Load(at::kDouble);
  ASSERT_NE(trainable, nullptr);
  const Row a = RandomRow({33, 6}), b = RandomRow({17, 9});
  const auto loss = [&](const PackedBatch& batch, std::vector<adapter::DropoutRow> rows) {
    return trainable->LossSum(batch, {5, 2, std::move(rows), true});
  };
  const PackedBatch both = PackBatch({{a.view(), b.view()}});
  const at::Tensor together = loss(both, {{6, 39}, {7, 26}});
  together.backward();
  const at::Tensor gradient = trainable->flat_gradient().clone();
  trainable->ZeroGradient();
  const at::Tensor first = loss(PackBatch({{a.view()}}), {{6, 39}});
  const at::Tensor second = loss(PackBatch({{b.view()}}), {{7, 26}});
  (first + second).backward();
  EXPECT_NEAR(together.item<double>(), (first + second).item<double>(), 1e-9);
  EXPECT_LT((gradient - trainable->flat_gradient()).abs().max().item<double>(), 1e-10);
  const double other = loss(both, {{8, 39}, {7, 26}}).item<double>();
  EXPECT_GT(std::abs(other - together.item<double>()), 1e-3);
  const double plain = trainable->LossSum(both, DropoutContext()).item<double>();
  EXPECT_GT(std::abs(plain - together.item<double>()), 1e-3);
}

TEST_P(ResidDropout, AgreesWithFiniteDifferences) {
  ModelConfig config = Tiny(GetParam());
  config.resid_pdrop = 0.3;
  Write(config);
  const auto trainable = Load(at::kDouble);
  ASSERT_NE(trainable, nullptr);
  const Row row = RandomRow({12, 5});
  const PackedBatch batch = PackBatch({{row.view()}});
  const auto loss = [&] { return trainable->LossSum(batch, {5, 2, {{0, 17}}, true}); };
  loss().backward();
  const at::NoGradGuard no_grad;
  const at::Tensor parameters = trainable->flat_parameters();
  for (const int64_t i : {int64_t{3}, parameters.numel() / 2, parameters.numel() - 5}) {
    const double before = parameters[i].item<double>(), h = 1e-6;
    parameters[i] = before + h;
    const double above = loss().item<double>();
    parameters[i] = before - h;
    const double below = loss().item<double>();
    parameters[i] = before;
    EXPECT_NEAR(trainable->flat_gradient()[i].item<double>(), (above - below) / (2 * h), 1e-5) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ResidDropout, testing::Values("phi", "phi3"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace anamnesis::model
