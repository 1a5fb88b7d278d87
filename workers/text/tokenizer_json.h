// SPDX-License-Identifier: Apache-2.0
// The content of tokenizer.json for a model directory, also for directories from before that file:
// vocab.txt (WordPiece, as BERT, DistilBERT and ELECTRA have it) or vocab.json with merges.txt
// (byte-level BPE of RoBERTa and GPT-2), from which it is built with the settings that transformers
// 5.23 gives BertTokenizer, RobertaTokenizer and GPT2Tokenizer. Read along: tokenizer_config.json
// (do_lower_case, strip_accents, tokenize_chinese_chars, add_prefix_space, trim_offsets, the
// special tokens, added_tokens_decoder), special_tokens_map.json, added_tokens.json and the
// model_type of config.json. Thread-safe.
#pragma once

#include <string>

#include "common/base/status.h"

namespace anamnesis::text {

struct TokenizerJson {
  std::string content;
  std::string source;  // the file that errors name
};

// True when the directory has no tokenizer.json but files that it can be built from: a saved copy
// of the tokenizer then needs a tokenizer.json.
bool NeedsTokenizerJson(const std::string& directory);

// kInvalidArgument: no tokenizer's files, or files that do not fit together. kUnimplemented: the
// files of another kind of tokenizer (the text names it and what is built).
StatusOr<TokenizerJson> ReadTokenizerJson(const std::string& directory);

}  // namespace anamnesis::text
