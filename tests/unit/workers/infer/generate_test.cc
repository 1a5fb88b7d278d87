// SPDX-License-Identifier: Apache-2.0
// The cache against whole forward passes, and what a prompt may be. Values against HF:
// tests/golden/generate.
#include "workers/infer/generate.h"

#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "workers/model/cached_decoder.h"
#include "workers/model/family.h"
#include "workers/model/init.h"
#include "workers/model/packed_batch.h"

namespace anamnesis::infer {
namespace {

using testing::HasSubstr;

constexpr int kVocabulary = 61;

std::unique_ptr<model::Decoder> Tiny(const std::string& type) {
  model::ModelConfig config = model::FamilyDefaults(type);
  config.vocab_size = kVocabulary;
  config.hidden_size = 32;
  config.intermediate_size = 40;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = type == "phi" || type == "phi3" ? 8 : 12;
  config.max_position_embeddings = 64;
  config.initializer_range = 0.2;
  config.pad_token_id = -1;
  if (model::FindFamily(type)->default_window >= 0) {
    config.sliding_window = 5;
    config.sliding_layers = {true, false};
  }
  const TemporaryFolder folder;
  const Status written = model::WriteRandomModel(config, 3, folder.path());
  EXPECT_TRUE(written.ok()) << written;
  return model::Decoder::Load(folder.path(), at::kDouble).value();
}

std::vector<int64_t> RandomIds(size_t count) {
  PhiloxStream random(1, 0);
  std::vector<int64_t> ids(count);
  for (int64_t& id : ids) id = static_cast<int64_t>(random.Below(kVocabulary));
  return ids;
}

// Logits of every position in one pass.
at::Tensor Whole(const model::Decoder& decoder, const std::vector<int64_t>& ids) {
  const at::NoGradGuard no_grad;
  const std::vector<int32_t> row(ids.begin(), ids.end());
  const auto length = static_cast<int32_t>(row.size());
  return decoder.Logits(model::PackBatch({{{row, {&length, 1}}}}));
}

class CacheOf : public testing::TestWithParam<std::string> {};

TEST_P(CacheOf, AnyCutGivesTheLogitsOfOnePass) {
  const auto decoder = Tiny(GetParam());
  const std::vector<int64_t> ids = RandomIds(23);
  const at::Tensor whole_TV = Whole(*decoder, ids);
  for (const std::vector<size_t>& cut :
       {std::vector<size_t>{23}, {1, 22}, {7, 1, 1, 1, 9, 3, 1}, std::vector<size_t>(23, 1)}) {
    model::CachedDecoder cached(*decoder);
    size_t begin = 0;
    for (const size_t count : cut) {
      const at::Tensor logits_V = cached.Append(std::span(ids).subspan(begin, count));
      begin += count;
      EXPECT_EQ(cached.length(), static_cast<int64_t>(begin));
      EXPECT_TRUE(at::allclose(logits_V, whole_TV[static_cast<int64_t>(begin) - 1], 0, 1e-12));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, CacheOf,
                         testing::Values("llama", "mistral", "phi", "phi3", "gemma", "gemma2",
                                         "gemma3_text", "qwen2", "qwen3"));

TEST(Generation, StopsAtTheFirstEosAndAtTheLimit) {
  const auto decoder = Tiny("llama");
  const std::vector<int64_t> prompt = RandomIds(4);
  GenerateOptions options;
  options.max_new_tokens = 9;
  const Generated free = Generate(*decoder, prompt, {}, options).value();
  EXPECT_EQ(free.ids.size(), 9U);
  EXPECT_FALSE(free.ended);
  GenerationConfig config;
  config.eos_token_ids = {kVocabulary + 5, free.ids[0]};
  const Generated ended = Generate(*decoder, prompt, config, options).value();
  EXPECT_EQ(ended.ids, std::vector<int64_t>({free.ids[0]}));
  EXPECT_TRUE(ended.ended);
}

TEST(Generation, TheSeedDecidesASampledText) {
  const auto decoder = Tiny("llama");
  const auto text = [&](uint64_t seed) {
    const GenerateOptions options{20, {.temperature = 1, .top_p = 0.9, .seed = seed}};
    return Generate(*decoder, RandomIds(4), {}, options).value().ids;
  };
  EXPECT_EQ(text(1), text(1));
  EXPECT_NE(text(1), text(2));
}

TEST(Generation, RefusesAPromptThatDoesNotFitWithoutRepeatingIt) {
  const auto decoder = Tiny("llama");
  const auto refusal = [&](const std::vector<int64_t>& prompt) {
    const Status status = Generate(*decoder, prompt, {}, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(refusal({}), HasSubstr("--prompt"));
  EXPECT_THAT(refusal(RandomIds(65)), HasSubstr("65 tokens, the model has 64 positions"));
  EXPECT_THAT(refusal({1, kVocabulary}), HasSubstr("vocab_size 61"));
  EXPECT_TRUE(Generate(*decoder, RandomIds(64), {}, {}).ok());  // and on beyond, as HF
}

}  // namespace
}  // namespace anamnesis::infer
