// SPDX-License-Identifier: Apache-2.0
// Greedy generation against HF's generate(do_sample=False): 128 new tokens of every family in fp32,
// token for token, with adapters, EOS lists and a repetition penalty (make_generate.py).
#include "workers/infer/generate.h"

#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/io/json.h"
#include "tests/golden/oracle.h"
#include "workers/adapter/trainable.h"
#include "workers/model/config.h"

namespace anamnesis::infer {
namespace {

constexpr int kNewTokens = 128;

std::vector<int64_t> Ids(const Json& row, const char* key) {
  return row.at(key).get<std::vector<int64_t>>();
}

// The goldens and the models they were made of, each opened once.
class Goldens {
 public:
  Goldens() : directory_(golden::ScratchDirectory("generate")) {
    int status = 0;
    const std::string output =
        golden::RunOracle("generate/make_generate.py", "'" + directory_ + "'", &status);
    EXPECT_EQ(status, 0) << output;
    auto rows = ReadJsonFile(directory_ + "/generate.json");
    EXPECT_TRUE(rows.ok()) << rows.status();
    if (rows.ok()) rows_ = *rows;
  }
  static Goldens& Get() {
    static Goldens goldens;
    return goldens;
  }

  const Json& rows() const { return rows_; }
  std::string Folder(const Json& row, const std::string& name) const {
    return directory_ + "/" + row.at("case").get<std::string>() + "/" + name;
  }

  const model::Decoder& Plain(const Json& row) {
    auto& model = plain_[row.at("case")];
    if (!model) model = model::Decoder::Load(Folder(row, "base"), at::kFloat).value();
    return *model;
  }
  const model::Decoder& Adapted(const Json& row) {
    auto& model = adapted_[row.at("case")];
    contract::ModelPlan plan;
    plan.name = plan.directory = Folder(row, "base");
    if (!model) model = adapter::TrainableModel::Open(plan, Folder(row, "adapter")).value();
    return model->base();
  }

 private:
  std::string directory_;
  Json rows_ = Json::array();
  std::map<std::string, std::unique_ptr<model::Decoder>> plain_;
  std::map<std::string, std::unique_ptr<adapter::TrainableModel>> adapted_;
};

class Generation : public testing::Test {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  }
};

Generated Write(const model::Decoder& decoder, const Json& row, const GenerationConfig& config) {
  GenerateOptions options;
  options.max_new_tokens = kNewTokens;
  auto out = Generate(decoder, Ids(row, "prompt"), config, options);
  EXPECT_TRUE(out.ok()) << out.status();
  return out.value_or(Generated());
}

TEST_F(Generation, GreedilyIsTransformersTokenForToken) {
  std::set<std::string> families;
  double margin = 1;
  size_t tokens = 0;
  for (const Json& row : Goldens::Get().rows()) {
    if (row.contains("adapter") || row.contains("folder")) continue;
    SCOPED_TRACE(row.at("case"));
    const model::Decoder& decoder = Goldens::Get().Plain(row);
    families.insert(decoder.config().model_type);
    const std::vector<int64_t> expected = Ids(row, "ids");
    EXPECT_EQ(expected.size(), kNewTokens);
    EXPECT_EQ(Write(decoder, row, GenerationConfig()).ids, expected);
    margin = std::min(margin, row.at("margin").get<double>());
    tokens += expected.size();
  }
  std::cout << tokens << " tokens of " << families.size() << " families; smallest distance of the "
            << "two largest logits " << margin << "\n";
  EXPECT_EQ(families, std::set<std::string>({"gemma", "gemma2", "gemma3_text", "llama", "mistral",
                                             "phi", "phi3", "qwen2", "qwen3"}));
}

TEST_F(Generation, WithAnAdapterIsPefts) {
  int rows = 0;
  for (const Json& row : Goldens::Get().rows()) {
    if (!row.contains("adapter")) continue;
    SCOPED_TRACE(row.at("case"));
    EXPECT_EQ(Write(Goldens::Get().Adapted(row), row, GenerationConfig()).ids, Ids(row, "ids"));
    ++rows;
  }
  EXPECT_EQ(rows, 6);
}

TEST_F(Generation, EndsAndPenalisesAsGenerationConfigSays) {
  int ended = 0, rows = 0;
  for (const Json& row : Goldens::Get().rows()) {
    if (!row.contains("folder")) continue;
    SCOPED_TRACE(row.at("case"));
    const model::Decoder& decoder = Goldens::Get().Plain(row);
    const auto config =
        ReadGenerationConfig(Goldens::Get().Folder(row, row.at("folder")), decoder.config());
    ASSERT_TRUE(config.ok()) << config.status();
    const Generated out = Write(decoder, row, *config);
    EXPECT_EQ(out.ids, Ids(row, "ids"));
    EXPECT_EQ(out.ended, row.at("folder") == "eos");
    ended += out.ended && out.ids.size() < kNewTokens ? 1 : 0;
    ++rows;
  }
  EXPECT_EQ(rows, 4);
  EXPECT_EQ(ended, 2);
}

}  // namespace
}  // namespace anamnesis::infer
