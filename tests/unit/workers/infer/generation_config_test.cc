// SPDX-License-Identifier: Apache-2.0
#include "workers/infer/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace anamnesis::infer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

StatusOr<GenerationConfig> Read(const std::string& own, const std::string& model = "{}") {
  const TemporaryFolder folder;
  std::ofstream(folder.File("config.json")) << model;
  if (!own.empty()) std::ofstream(folder.File("generation_config.json")) << own;
  model::ModelConfig config;
  config.eos_token_ids = {5};
  return ReadGenerationConfig(folder.path(), config);
}

TEST(GenerationConfig, IsItsOwnFileAndElseTheModels) {
  EXPECT_THAT(Read(R"({"eos_token_id": 7})")->eos_token_ids, ElementsAre(7));
  EXPECT_THAT(Read(R"({"eos_token_id": [7, 9]})")->eos_token_ids, ElementsAre(7, 9));
  EXPECT_THAT(Read(R"({"eos_token_id": null})")->eos_token_ids, IsEmpty());
  EXPECT_THAT(Read(R"({"do_sample": true, "top_k": 50})")->eos_token_ids, IsEmpty());
  EXPECT_THAT(Read("")->eos_token_ids, ElementsAre(5));
  EXPECT_EQ(Read(R"({"repetition_penalty": 1.2})")->repetition_penalty, 1.2);
  EXPECT_EQ(Read("", R"({"repetition_penalty": 1.1})")->repetition_penalty, 1.1);
}

TEST(GenerationConfig, RefusesByNameWhatWouldChangeTheText) {
  for (const char* key : {"num_beams", "no_repeat_ngram_size", "min_new_tokens", "min_length"}) {
    const auto read = Read(std::string("{\"") + key + "\": 3}");
    EXPECT_EQ(read.status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(key));
  }
  EXPECT_FALSE(Read(R"({"suppress_tokens": [4]})").ok());
  EXPECT_FALSE(Read(R"({"forced_eos_token_id": 2})").ok());
  EXPECT_TRUE(Read(R"({"num_beams": 1, "suppress_tokens": [], "bad_words_ids": null})").ok());
}

TEST(GenerationConfig, NamesFileAndKeyOfAWrongType) {
  for (const char* text : {R"({"eos_token_id": "2"})", R"({"eos_token_id": [2.5]})",
                           R"({"repetition_penalty": 0})", "[]", "{"}) {
    const auto read = Read(text);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr("generation_config.json"));
  }
}

}  // namespace
}  // namespace anamnesis::infer
