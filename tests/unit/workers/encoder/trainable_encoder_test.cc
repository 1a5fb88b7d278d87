// SPDX-License-Identifier: Apache-2.0
#include "workers/encoder/trainable_encoder.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <cmath>
#include <mutex>
#include <set>

#include "common/base/philox.h"
#include "common/io/file.h"
#include "tests/support/temporary_folder.h"
#include "workers/encoder/tensors.h"
#include "workers/model/init.h"
#include "workers/model/safetensors.h"
#include "workers/model/weights.h"

namespace anamnesis::encoder {
namespace {

using testing::HasSubstr;

constexpr int kVocabulary = 61;

// A random base with some of its tensors left out, or with one bad number.
struct Base {
  const char* family = "bert";
  std::string without;  // of tensors whose name holds this
  std::string poisoned;
};

std::string WriteBase(const TemporaryFolder& folder, const Base& base) {
  const Json json = {
      {"model_type", base.family},     {"vocab_size", kVocabulary}, {"hidden_size", 64},
      {"num_hidden_layers", 2},        {"num_attention_heads", 2},  {"intermediate_size", 128},
      {"max_position_embeddings", 64}, {"pad_token_id", 0},         {"embedding_size", 48},
      {"initializer_range", 0.2},      {"local_attention", 6},      {"hidden_dim", 128},
      {"attention_dropout", 0.1},      {"embedding_dropout", 0.1},  {"mlp_dropout", 0.1}};
  EXPECT_TRUE(WriteFileDurably(folder.File("config.json"), json.dump()).ok());
  const EncoderConfig config = *EncoderConfigFromJson(json, "config.json");
  std::vector<at::Tensor> values;
  std::vector<model::TensorView> views;
  for (const EncoderTensor& tensor : EncoderTensors(config)) {
    if (!base.without.empty() && tensor.name.find(base.without) != std::string::npos) continue;
    PhiloxStream random(1, model::StreamOfName(tensor.name));
    at::Tensor value = at::empty(tensor.shape, at::TensorOptions().dtype(at::kFloat));
    for (int64_t i = 0; i < value.numel(); ++i) {
      value.mutable_data_ptr<float>()[i] =
          static_cast<float>((tensor.fill == Fill::kOne ? 1.0 : 0.0) + 0.2 * random.Normal());
    }
    if (tensor.name == base.poisoned) value.mutable_data_ptr<float>()[1] = NAN;
    values.push_back(value);
    views.push_back(*model::ViewOf(tensor.name, values.back()));
  }
  EXPECT_TRUE(model::WriteSafetensors(folder.File("model.safetensors"), views).ok());
  return folder.path();
}

contract::ModelPlan PlanOf(const std::string& directory, const std::string& dtype = "float32") {
  contract::ModelPlan plan;
  plan.name = "tiny";
  plan.directory = directory;
  plan.dtype = dtype;
  return plan;
}

std::unique_ptr<TrainableEncoder> Load(const std::string& directory, at::ScalarType dtype,
                                       TrainableOptions options = {}) {
  if (options.num_labels == 0) options.num_labels = 2;
  options.dtype = dtype;
  auto loaded = TrainableEncoder::Load(PlanOf(directory), options);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return std::move(*loaded);
}

// Documents of random ids, with labels 0 and 1 in turn.
struct Documents {
  Documents(uint64_t seed, const std::vector<size_t>& lengths) {
    PhiloxStream random(seed, 0);
    for (const size_t length : lengths) {
      ids.emplace_back();
      for (size_t i = 0; i < length; ++i) {
        ids.back().push_back(static_cast<int32_t>(1 + random.Below(kVocabulary - 1)));
      }
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      views.push_back({ids[i], {}, static_cast<int64_t>(i % 2)});
    }
  }
  std::vector<std::vector<int32_t>> ids;
  std::vector<DocumentView> views;
};

adapter::DropoutContext Training(const EncoderBatch& batch, int64_t first_row = 0) {
  adapter::DropoutContext context{/*seed=*/5, /*step=*/2, {}, /*training=*/true};
  for (const int64_t length : batch.lengths) context.rows.push_back({first_row++, length});
  return context;
}

constexpr const char* kFamilies[] = {"bert", "roberta", "distilbert", "electra", "modernbert"};

contract::LoraPlan LoraOn(std::vector<std::string> targets) {
  contract::LoraPlan plan;
  plan.r = 2;
  plan.alpha = 4;
  plan.dropout = 0.1;
  plan.target_modules = std::move(targets);
  return plan;
}

// Bytes of the heap that are in use.
size_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(Gradients, HaveTheSameBitsWithCheckpointedLayersInLessMemory) {
  const Documents documents(1, {60, 3, 41, 1, 22, 60});
  for (const char* family : kFamilies) {
    const TemporaryFolder folder;
    const std::string base =
        WriteBase(folder, {.family = family, .without = "classifier", .poisoned = ""});
    for (const bool adapter : {false, true}) {
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
        TrainableOptions options;
        if (adapter) options.lora = LoraOn({"all-linear"});
        if (adapter) options.lora->all_linear = true, options.lora->target_modules.clear();
        const auto model = Load(base, dtype, options);
        const EncoderBatch batch = *PackDocuments(documents.views, model->config());
        at::Tensor gradient, loss;
        size_t plain_bytes = 0;
        for (const bool checkpoint : {false, true}) {
          model->encoder().CheckpointLayers(checkpoint);
          model->ZeroGradient();
          const size_t before = HeapBytes();
          const ClassLossSum sum = model->LossSum(batch, Training(batch));
          const size_t bytes = HeapBytes() - before;
          sum.loss.backward();
          if (!checkpoint) {
            gradient = model->flat_gradient().clone();
            loss = sum.loss.detach();
            plain_bytes = bytes;
            continue;
          }
          EXPECT_TRUE(at::equal(gradient, model->flat_gradient())) << family << " " << dtype;
          EXPECT_TRUE(at::equal(loss, sum.loss.detach())) << family << " " << dtype;
          EXPECT_LT(bytes, plain_bytes / 2) << family << " " << dtype;
        }
        EXPECT_GT(gradient.abs().max().item<float>(), 0);
      }
    }
  }
}

TEST(Gradients, AreBitIdenticalForEveryNumberOfThreads) {
  const Documents documents(
      1, {60, 3, 41, 1, 22, 60, 60, 59, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60});
  const int before = at::get_num_threads();
  for (const char* family : {"bert", "modernbert"}) {
    const TemporaryFolder folder;
    const std::string base =
        WriteBase(folder, {.family = family, .without = "classifier", .poisoned = ""});
    TrainableOptions options;
    options.num_labels = 10;
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const auto model = Load(base, dtype, options);
      const EncoderBatch batch = *PackDocuments(documents.views, model->config());
      at::Tensor gradient, loss;
      for (int threads = 1; threads <= 4; ++threads) {
        at::set_num_threads(threads);
        model->ZeroGradient();
        const ClassLossSum sum = model->LossSum(batch, Training(batch));
        sum.loss.backward();
        if (threads == 1) {
          gradient = model->flat_gradient().clone();
          loss = sum.loss.detach();
        }
        for (const EncoderParameter& parameter : model->parameters()) {
          const at::Tensor grad = parameter.master.grad();
          EXPECT_TRUE(at::equal(
              gradient.narrow(0, parameter.offset, grad.numel()).view(grad.sizes()), grad))
              << family << " " << dtype << " " << threads << " threads: " << parameter.name;
        }
        EXPECT_TRUE(at::equal(loss, sum.loss.detach()))
            << family << " " << dtype << " " << threads << " threads: loss";
      }
      EXPECT_GT(gradient.abs().max().item<float>(), 0);
    }
  }
  at::set_num_threads(before);
}

// The products that run while it lives, with the dtypes of their tensors.
class ProductLog {
 public:
  ProductLog() {
    Current() = this;
    handle_ = at::addGlobalCallback(at::RecordFunctionCallback(&ProductLog::Record)
                                        .needsInputs(true)
                                        .scopes({at::RecordScope::FUNCTION}));
  }
  ~ProductLog() {
    at::removeCallback(handle_);
    Current() = nullptr;
  }
  ProductLog(const ProductLog&) = delete;
  ProductLog& operator=(const ProductLog&) = delete;

  // "aten::mm Float Float": everything but what is bf16 throughout.
  std::set<std::string> NotBf16() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return not_bf16_;
  }
  int64_t num_products() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return num_products_;
  }

 private:
  static ProductLog*& Current() {
    static ProductLog* current = nullptr;
    return current;
  }
  static std::unique_ptr<at::ObserverContext> Record(const at::RecordFunction& function) {
    static const std::set<std::string> kProducts = {
        "aten::mm",
        "aten::addmm",
        "aten::bmm",
        "aten::linear",
        "aten::matmul",
        "aten::baddbmm",
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward"};
    const std::string name = function.name();
    if (!kProducts.contains(name) || Current() == nullptr) return nullptr;
    std::string text = name;
    bool narrow = true;
    for (const c10::IValue& input : function.inputs()) {
      if (!input.isTensor() || !input.toTensor().defined()) continue;
      const at::ScalarType type = input.toTensor().scalar_type();
      // The attention's log-sum-exp stays fp32.
      if (input.toTensor().is_floating_point() && input.toTensor().dim() != 3) {
        narrow = narrow && type == at::kBFloat16;
      }
      text += Cat(" ", type);
    }
    const std::lock_guard<std::mutex> lock(Current()->mutex_);
    ++Current()->num_products_;
    if (!narrow) Current()->not_bf16_.insert(text);
    return nullptr;
  }

  at::CallbackHandle handle_ = 0;
  std::mutex mutex_;
  std::set<std::string> not_bf16_;
  int64_t num_products_ = 0;
};

TEST(Products, AreAllBf16InABf16Model) {
  const Documents documents(6, {9, 20});
  for (const char* family : kFamilies) {
    const TemporaryFolder folder;
    const auto model =
        Load(WriteBase(folder, {.family = family, .without = "", .poisoned = ""}), at::kBFloat16);
    const EncoderBatch batch = *PackDocuments(documents.views, model->config());
    ProductLog log;
    model->LossSum(batch, Training(batch)).loss.backward();
    model->LossSum(batch, {}).loss.backward();
    EXPECT_GT(log.num_products(), 40);
    EXPECT_EQ(log.NotBf16(), std::set<std::string>()) << family;
  }
}

TEST(Gradients, AreThoseOfTheLossUnderDropout) {
  const Documents documents(2, {7, 12});
  for (const char* family : kFamilies) {
    const TemporaryFolder folder;
    const auto model =
        Load(WriteBase(folder, {.family = family, .without = "", .poisoned = ""}), at::kDouble);
    const EncoderBatch batch = *PackDocuments(documents.views, model->config());
    const auto loss = [&] { return model->LossSum(batch, Training(batch)).loss; };
    loss().backward();
    const at::NoGradGuard no_grad;
    for (const EncoderParameter& parameter : model->parameters()) {
      at::Tensor value = parameter.master.view(-1).narrow(0, parameter.master.numel() / 2, 1);
      const double slope =
          parameter.master.grad().view(-1)[parameter.master.numel() / 2].item<double>();
      constexpr double kStep = 1e-5;
      value.add_(kStep);
      const double up = loss().item<double>();
      value.sub_(2 * kStep);
      const double down = loss().item<double>();
      value.add_(kStep);
      EXPECT_NEAR((up - down) / (2 * kStep), slope, 1e-6 * (1 + std::abs(slope))) << parameter.name;
    }
  }
}

TEST(Gradients, DoNotDependOnTheMicroBatching) {
  const Documents documents(3, {20, 5, 33});
  for (const char* family : kFamilies) {
    const TemporaryFolder folder;
    const auto model =
        Load(WriteBase(folder, {.family = family, .without = "", .poisoned = ""}), at::kDouble);
    const EncoderBatch all = *PackDocuments(documents.views, model->config());
    const ClassLossSum whole = model->LossSum(all, Training(all));
    whole.loss.backward();
    const at::Tensor together = model->flat_gradient().clone();
    model->ZeroGradient();
    double loss = 0;
    for (size_t i = 0; i < documents.views.size(); ++i) {
      // The label goes with the document, the mask with its row of the global batch.
      const EncoderBatch one = *PackDocuments({&documents.views[i], 1}, model->config());
      const ClassLossSum sum = model->LossSum(one, Training(one, static_cast<int64_t>(i)));
      sum.loss.backward();
      loss += sum.loss.item<double>();
    }
    EXPECT_NEAR(loss, whole.loss.item<double>(), 1e-12);
    EXPECT_LE((together - model->flat_gradient()).abs().max().item<double>(), 1e-12) << family;
  }
}

TEST(Training, LearnsWhichDocumentsHoldAnId) {
  const TemporaryFolder folder;
  const auto model = Load(
      WriteBase(folder, {.family = "bert", .without = "classifier", .poisoned = ""}), at::kFloat);
  Documents documents(4, {12, 12, 12, 12, 12, 12, 12, 12});
  for (size_t i = 0; i < documents.ids.size(); ++i) {
    for (int32_t& id : documents.ids[i]) id = id == 7 ? 8 : id;
    if (i % 2 == 1) documents.ids[i][5] = 7;
  }
  const EncoderBatch batch = *PackDocuments(documents.views, model->config());
  double first = 0, last = 0;
  for (int step = 0; step < 40; ++step) {
    model->ZeroGradient();
    const ClassLossSum sum = model->LossSum(batch, {});
    (sum.loss / sum.weight).backward();
    last = sum.loss.item<double>() / sum.weight;
    if (step == 0) first = last;
    const at::NoGradGuard no_grad;
    model->flat_parameters().sub_(0.1 * model->flat_gradient());
  }
  EXPECT_GT(first, 0.4);
  EXPECT_LT(last, 0.2 * first);
}

TEST(Head, ThatIsMissingIsDrawnFromTheSeed) {
  const TemporaryFolder folder;
  const std::string base =
      WriteBase(folder, {.family = "bert", .without = "classifier", .poisoned = ""});
  const auto a = Load(base, at::kFloat), b = Load(base, at::kFloat);
  TrainableOptions other;
  other.seed = 43;
  const auto c = Load(base, at::kFloat, other);
  EXPECT_EQ(a->note(), "new, initialised from the seed: classifier");
  EXPECT_TRUE(at::equal(a->flat_parameters(), b->flat_parameters()));
  const EncoderParameter& weight = a->parameters()[a->parameters().size() - 2];
  EXPECT_EQ(weight.name, "classifier.weight");
  EXPECT_FALSE(at::equal(weight.master, c->parameters()[c->parameters().size() - 2].master));
  EXPECT_NEAR(weight.master.std().item<double>(), 0.2, 0.04);
  EXPECT_EQ(a->parameters().back().master.abs().max().item<float>(), 0);
}

TEST(Head, IsNeededWhereTheConfigGivesTheClasses) {
  const TemporaryFolder folder;
  const std::string base =
      WriteBase(folder, {.family = "bert", .without = "classifier", .poisoned = ""});
  const auto loaded = TrainableEncoder::Load(PlanOf(base), {});
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(MessageOf(loaded.status()), HasSubstr("not a trained classifier"));
}

TEST(Load, NamesWhatIsWrong) {
  const TemporaryFolder folder;
  const std::string name = "bert.encoder.layer.1.output.dense.weight";
  const std::string base = WriteBase(folder, {.family = "bert", .without = "", .poisoned = name});
  TrainableOptions options;
  options.num_labels = 2;
  auto loaded = TrainableEncoder::Load(PlanOf(base), options);
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(MessageOf(loaded.status()),
              HasSubstr("tensor '" + name + "' holds a NaN or an infinity"));
  loaded = TrainableEncoder::Load(PlanOf(base, "float8"), options);
  EXPECT_THAT(MessageOf(loaded.status()), HasSubstr("model dtype: float8 is not built yet"));
  options.num_labels = 5;
  loaded = TrainableEncoder::Load(PlanOf(base), options);
  EXPECT_THAT(MessageOf(loaded.status()), HasSubstr("classifier.weight [2, 64] for [5, 64]"));
  loaded = TrainableEncoder::Load(PlanOf(folder.File("absent")), options);
  EXPECT_THAT(MessageOf(loaded.status()), HasSubstr("config.json"));
}

TEST(Batch, ThatDoesNotFitTheModelNamesTheDocument) {
  const TemporaryFolder folder;
  const auto model =
      Load(WriteBase(folder, {.family = "roberta", .without = "", .poisoned = ""}), at::kFloat);
  const auto error = [&](const std::vector<int32_t>& ids, const std::vector<int32_t>& types,
                         int64_t label) {
    const DocumentView one{ids, types, label};
    return MessageOf(PackDocuments({&one, 1}, model->config()).status());
  };
  EXPECT_EQ(error({}, {}, 0), "document 0 of the batch is empty");
  EXPECT_THAT(error(std::vector<int32_t>(64, 3), {}, 0),
              HasSubstr("has 64 tokens; the model takes at most 63"));
  EXPECT_THAT(error({3, 61}, {}, 0), HasSubstr("id 61 is outside the model's vocabulary of 61"));
  EXPECT_THAT(error({3}, {2}, 0), HasSubstr("token type 2"));
  EXPECT_THAT(error({3, 4}, {0}, 0), HasSubstr("1 token types for 2 ids"));
  EXPECT_THAT(error({3}, {}, 2), HasSubstr("label 2: expected 0 to 1"));
  EXPECT_FALSE(PackDocuments({}, model->config()).ok());
}

TEST(Lora, TrainsItsFactorsAndTheHeadAlone) {
  const Documents documents(5, {9, 30});
  const TemporaryFolder folder;
  const std::string base =
      WriteBase(folder, {.family = "bert", .without = "pooler", .poisoned = ""});
  TrainableOptions options;
  options.lora = LoraOn({"query", "value"});
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const auto model = Load(base, dtype, options);
    // Two layers with two targets, the new pooler, the classifier.
    ASSERT_EQ(model->parameters().size(), 2 * 2 * 2 + 2 + 2);
    EXPECT_EQ(model->parameters()[1].name,
              "base_model.model.bert.encoder.layer.0.attention.self.query.lora_B.weight");
    EXPECT_EQ(model->parameters()[8].name, "base_model.model.bert.pooler.dense.weight");
    const EncoderBatch batch = *PackDocuments(documents.views, model->config());
    // B is zero: the model is the base.
    EXPECT_TRUE(at::equal(model->Logits(batch), Load(base, dtype)->Logits(batch)));
    model->LossSum(batch, Training(batch)).loss.backward();
    EXPECT_GT(model->parameters()[1].master.grad().abs().max().item<float>(), 0);
    EXPECT_GT(model->parameters().back().master.grad().abs().max().item<float>(), 0);
  }
  options.lora = LoraOn({"q_proj"});
  options.num_labels = 2;
  const auto refused = TrainableEncoder::Load(PlanOf(base), options);
  EXPECT_THAT(MessageOf(refused.status()), HasSubstr("'q_proj' matches no linear layer"));
}

TEST(SavedModel, RestoresEveryBitAndABadOneChangesNothing) {
  const TemporaryFolder folder;
  const std::string base = WriteBase(folder, {.family = "electra", .without = "", .poisoned = ""});
  for (const bool lora : {false, true}) {
    TrainableOptions options;
    if (lora) options.lora = LoraOn({"query"});
    const TemporaryFolder saved;
    const auto a = Load(base, at::kFloat, options), b = Load(base, at::kFloat, options);
    {
      const at::NoGradGuard no_grad;
      a->flat_parameters().add_(0.1);
    }
    ASSERT_TRUE(a->Save(saved.path()).ok());
    ASSERT_TRUE(b->Restore(saved.path()).ok());
    EXPECT_TRUE(at::equal(a->flat_parameters(), b->flat_parameters()));
    options.lora = LoraOn({"key"});
    const auto other = Load(base, at::kFloat, options);
    const at::Tensor before = other->flat_parameters().clone();
    EXPECT_FALSE(other->Restore(saved.path()).ok());
    EXPECT_TRUE(at::equal(before, other->flat_parameters()));
  }
}

}  // namespace
}  // namespace anamnesis::encoder
