// SPDX-License-Identifier: Apache-2.0
// A HuggingFace tokenizer (tokenizer.json, run by the `tokenizers` crate). Thread-safe after
// creation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::text {

struct Encoding {
  std::vector<int32_t> ids;
  std::vector<uint32_t>
      begin_bytes;  // byte offset in the text where each id's piece starts; empty unless asked for
};

class Tokenizer {
 public:
  // Reads tokenizer.json and, where present, tokenizer_config.json, special_tokens_map.json and
  // config.json (for the EOS id). A folder without tokenizer.json: see tokenizer_json.h.
  // kInvalidArgument when the folder has no readable tokenizer.
  static StatusOr<std::unique_ptr<Tokenizer>> FromDirectory(const std::string& directory);
  virtual ~Tokenizer() = default;

  // Ids of `text` alone, without special tokens around it. kInvalidArgument on text that is not
  // UTF-8.
  virtual StatusOr<Encoding> Encode(std::string_view text, bool with_offsets) const = 0;
  virtual StatusOr<std::string> Decode(const std::vector<int32_t>& ids,
                                       bool skip_special) const = 0;
  // What the post-processor puts before and after a text (BOS where the tokenizer has one).
  virtual const std::vector<int32_t>& prefix_ids() const = 0;
  virtual const std::vector<int32_t>& suffix_ids() const = 0;
  // The end-of-document id of causal training; kInvalidArgument when the directory names none.
  virtual StatusOr<int32_t> eos_id() const = 0;
  virtual int64_t vocab_size() const = 0;  // with added tokens
  // True when every phrase can be encoded alone: SentencePiece-style BPE without a piece that holds
  // ▁ after another character.
  virtual bool phrase_exact() const = 0;
  // True when a narrative whose phrases are joined by `separator` may be encoded phrase by phrase:
  // phrase_exact(), the separator ends in exactly one space after another character, and no added
  // token can match across that joint.
  virtual bool SeparatorIsExact(std::string_view separator) const = 0;
  // True when this phrase's ids do not depend on its neighbours. Assumes
  // SeparatorIsExact(separator).
  virtual bool PhraseIsExact(std::string_view phrase, std::string_view separator) const = 0;
  // SHA-256 of tokenizer.json and of the EOS and BOS choices: everything that decides ids.
  virtual const std::string& sha256() const = 0;
  // True when `text` holds the content of an added token (special or not); ▁ counts as a space.
  virtual bool ContainsSpecial(std::string_view text) const = 0;
};

// Encodes narratives (phrases joined by ", ") as the concatenation of phrases encoded once. Ids are
// exactly those of the whole text; where that cannot be guaranteed (phrase_exact() is false, or a
// phrase holds a special token) the whole text is encoded. Thread-compatible.
class NarrativeEncoder {
 public:
  static StatusOr<std::unique_ptr<NarrativeEncoder>> Create(const Tokenizer& tokenizer,
                                                            std::string_view separator);
  virtual ~NarrativeEncoder() = default;
  // `phrases`: the narrative's phrases in order, `keys`: a stable id of each phrase for the cache
  // (index in the phrase table). ids: of the whole narrative, no BOS, no EOS. unit_begin: index in
  // ids where each phrase starts; same length as phrases. A phrase owns the space before it and the
  // separator after it. The ids of a key are kept for the encoder's life, so a key must always come
  // with the same phrase; memory is bounded by the phrase table.
  virtual Status Encode(const std::vector<uint32_t>& keys,
                        const std::vector<std::string_view>& phrases, std::vector<int32_t>* ids,
                        std::vector<uint32_t>* unit_begin) = 0;
};

}  // namespace anamnesis::text
