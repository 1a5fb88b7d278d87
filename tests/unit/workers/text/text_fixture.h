// SPDX-License-Identifier: Apache-2.0
// Folders, tokenizers and narratives for the tests of text and stream.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "anam_tokenizers.h"
#include "common/base/philox.h"
#include "common/io/json.h"
#include "tests/support/temporary_folder.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::text {

// The shared tokenizers and cohorts; empty where they are absent.
inline std::string SharedDataFolder() {
  const char* shared = std::getenv("ANAMNESIS_SHARED_DIR");
  const char* source = std::getenv("ANAMNESIS_SOURCE_DIR");
  std::string folder;
  if (shared != nullptr) {
    folder = std::string(shared) + "/data";
  } else if (source != nullptr) {
    folder = std::string(source) + "/../shared/data";
  }
  return std::filesystem::is_directory(folder) ? folder : "";
}

// A shared tokenizer made ready in `folder`. The file of llama2 holds three merges that no version
// of the crate reads (tokens of bare spaces, written with a space between them): they are left out.
inline void CopySharedTokenizer(const std::string& name, const TemporaryFolder& folder) {
  const std::string source = SharedDataFolder() + "/tokenizers/" + name;
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!std::filesystem::exists(source + "/" + file)) continue;
    std::filesystem::copy_file(source + "/" + file, folder.File(file));
  }
  StatusOr<Json> json = ReadJsonFile(source + "/tokenizer.json");
  ASSERT_TRUE(json.ok()) << json.status();
  Json kept = Json::array();
  for (const Json& merge : (*json)["model"].value("merges", Json::array())) {
    if (!merge.is_string()) continue;
    const std::string pair = merge.get<std::string>();
    if (std::count(pair.begin(), pair.end(), ' ') == 1) kept.push_back(merge);
  }
  if ((*json)["model"].contains("merges")) (*json)["model"]["merges"] = kept;
  folder.Write("tokenizer.json", json->dump());
}

// The oracle program, empty where it is not set up.
inline std::string OracleProgram() {
  const char* source = std::getenv("ANAMNESIS_SOURCE_DIR");
  if (source == nullptr) return "";
  const std::string root(source);
  return std::filesystem::exists(root + "/.deps/oracle/stamp") ? root + "/tools/oracle" : "";
}

inline void PutU32s(const std::vector<uint32_t>& values, std::string* out) {
  const uint32_t size = static_cast<uint32_t>(values.size());
  out->append(reinterpret_cast<const char*>(&size), 4);
  out->append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
}

// One record of compare_ids.py.
inline void AppendRecord(uint32_t number, const std::vector<uint32_t>& unit_begin,
                         const std::string& text, const std::vector<int32_t>& ids,
                         std::string* out) {
  out->append(reinterpret_cast<const char*>(&number), 4);
  PutU32s(unit_begin, out);
  const uint32_t size = static_cast<uint32_t>(text.size());
  out->append(reinterpret_cast<const char*>(&size), 4);
  out->append(text);
  PutU32s(std::vector<uint32_t>(ids.begin(), ids.end()), out);
}

// Runs compare_ids.py; it prints the numbers of the narratives that differ.
inline bool OracleAgrees(const std::string& tokenizer_json, const std::string& records) {
  const std::string script =
      Cat(std::getenv("ANAMNESIS_SOURCE_DIR"), "/tests/unit/workers/text/compare_ids.py");
  return std::system(
             Cat("'", OracleProgram(), "' '", script, "' '", tokenizer_json, "' '", records, "'")
                 .c_str()) == 0;
}

// Phrases like those of records, and some that try to break the encoding phrase by phrase.
inline std::vector<std::string> OddPhrases(size_t count, PhiloxStream* random) {
  const std::vector<std::string> parts = {"Glucose",
                                          " ",
                                          "  ",
                                          "\xE2\x96\x81",
                                          "5.5",
                                          "mmol/L",
                                          "(NOS)",
                                          ",",
                                          ", ",
                                          "e\xCC\x81",
                                          "\xF0\x9F\xA9\xBA",
                                          "7",
                                          "-1",
                                          "1e-05",
                                          "x",
                                          ";",
                                          "\xC3\xA9",
                                          "\t",
                                          "\n",
                                          "of",
                                          "the",
                                          "heart",
                                          "I25.1",
                                          "'",
                                          "\"",
                                          "%",
                                          "\xE4\xB8\xAD",
                                          "\xD7\xA9",
                                          "\xE2\x80\x8D",
                                          "\x01",
                                          "A",
                                          "Disease",
                                          "HbA1c",
                                          ".",
                                          "\xEF\xBB\xBF",
                                          "0"};
  const std::vector<std::string> specials = {"</s>", "<s>", "<unk>", "<|end|>", "<0x0A>"};
  std::vector<std::string> phrases;
  while (phrases.size() < count) {
    std::string phrase;
    const uint64_t num_parts = 1 + random->Below(6);
    for (uint64_t i = 0; i < num_parts; ++i) {
      if (random->Below(3) == 0) phrase += ' ';
      phrase += parts[random->Below(parts.size())];
    }
    if (random->Below(200) == 0) phrase += specials[random->Below(specials.size())];
    phrases.push_back(phrase);
  }
  return phrases;
}

// A SentencePiece-style tokenizer trained on plain phrases, in `folder`, with </s> as EOS.
inline void TrainTokenizer(const TemporaryFolder& folder) {
  struct Texts {
    PhiloxStream random{7, 7};
    std::string text;
    int left = 400;
  } texts;
  const auto next = [](void* context, const char** text, size_t* size) -> int32_t {
    auto* state = static_cast<Texts*>(context);
    if (state->left-- == 0) return 0;
    const char* words[] = {"Glucose", "Sodium", "heart", "failure", "of the", "kidney", "5", "12"};
    state->text.clear();
    for (int i = 0; i < 20; ++i) {
      if (i > 0) state->text += ", ";
      state->text += words[state->random.Below(8)];
      state->text += ' ';
      state->text += words[state->random.Below(8)];
    }
    *text = state->text.data();
    *size = state->text.size();
    return 1;
  };
  const anam_tok_train_options options = {
      .vocab_size = 400, .min_pair_count = 2, .split_digits = 1};
  const std::string path = folder.File("tokenizer.json");
  char* error = nullptr;
  ASSERT_EQ(anam_tok_train_bpe(next, &texts, &options, path.data(), path.size(), &error),
            ANAM_TOK_OK)
      << error;
  folder.Write("tokenizer_config.json", R"({"eos_token": "</s>"})");
}

}  // namespace anamnesis::text
