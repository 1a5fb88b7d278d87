// SPDX-License-Identifier: Apache-2.0
// bf16 means bf16: every matrix product of a training step, forward and backward, is taken in the
// dtype of the plan, seen by a hook on ATen's dispatch. (float16 is not among them: ATen widens the
// attention of half tensors on CPUs by itself.)
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "common/base/philox.h"
#include "tests/support/temporary_folder.h"
#include "workers/adapter/trainable.h"
#include "workers/model/init.h"

namespace anamnesis::adapter {
namespace {

const std::set<std::string> kProducts = {"aten::mm",     "aten::addmm",
                                         "aten::bmm",    "aten::baddbmm",
                                         "aten::linear", "aten::scaled_dot_product_attention"};

// Counts the products seen, by operator and dtype of each tensor that goes in.
struct Seen {
  std::mutex mutex;
  std::map<std::string, int> counts;
  std::set<at::ScalarType> dtypes;
};
Seen* seen = nullptr;

std::unique_ptr<at::ObserverContext> Look(const at::RecordFunction& function) {
  const std::string name = function.name();
  if (seen == nullptr || !kProducts.contains(name)) return nullptr;
  const std::scoped_lock lock(seen->mutex);
  ++seen->counts[name];
  for (const c10::IValue& input : function.inputs()) {
    if (!input.isTensor() || !input.toTensor().defined()) continue;
    if (at::isFloatingType(input.toTensor().scalar_type())) {
      seen->dtypes.insert(input.toTensor().scalar_type());
    }
  }
  return nullptr;
}

class GemmDtype : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model::ModelConfig config;
    config.vocab_size = 131;
    config.hidden_size = 64;
    config.intermediate_size = 96;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 4;
    config.num_key_value_heads = 2;
    config.head_dim = 16;
    ASSERT_TRUE(model::WriteRandomModel(config, 3, folder_.path()).ok());
  }

  // The dtypes of all products of one forward and backward pass.
  std::set<at::ScalarType> DtypesOf(const std::string& dtype, const std::string& quantisation) {
    contract::ModelPlan plan;
    plan.name = plan.directory = folder_.path();
    plan.dtype = dtype;
    plan.quantisation = quantisation;
    contract::LoraPlan lora;
    lora.r = 4;
    lora.all_linear = true;
    lora.modules_to_save = {"embed_tokens", "lm_head"};
    auto model = TrainableModel::Load(plan, lora, 1);
    EXPECT_TRUE(model.ok()) << model.status();
    std::vector<int32_t> ids;
    PhiloxStream random(5, 0);
    for (int i = 0; i < 40; ++i) ids.push_back(static_cast<int32_t>(random.Below(131)));
    const std::vector<int32_t> segments = {25, 15};
    Seen found;
    seen = &found;
    const auto handle = at::addGlobalCallback(
        at::RecordFunctionCallback(&Look).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
    (*model)->LossSum(model::PackBatch({{{ids, segments}}}), DropoutContext()).backward();
    at::removeCallback(handle);
    seen = nullptr;
    EXPECT_GT(found.counts["aten::mm"], 14 * 3);  // LoRA's, forward and backward
    EXPECT_GT(found.counts["aten::scaled_dot_product_attention"], 0);
    return found.dtypes;
  }

  TemporaryFolder folder_;
};

TEST_P(GemmDtype, IsThePlans) {
  const at::ScalarType expected = GetParam() == "bfloat16" ? at::kBFloat16 : at::kFloat;
  EXPECT_EQ(DtypesOf(GetParam(), "none"), std::set<at::ScalarType>{expected});
  EXPECT_EQ(DtypesOf(GetParam(), "nf4"), std::set<at::ScalarType>{expected});
}

INSTANTIATE_TEST_SUITE_P(Dtypes, GemmDtype, testing::Values("float32", "bfloat16"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace anamnesis::adapter
