// SPDX-License-Identifier: Apache-2.0
#include "workers/text/tokenizer.h"

#include <algorithm>
#include <optional>

#include "anam_tokenizers.h"
#include "common/base/sha256.h"
#include "workers/text/eos.h"
#include "workers/text/phrase_exactness.h"
#include "workers/text/tokenizer_json.h"

namespace anamnesis::text {
namespace {

struct TokDeleter {
  void operator()(anam_tok* tok) const { anam_tok_free(tok); }
  void operator()(anam_tok_encoding* encoding) const { anam_tok_encoding_free(encoding); }
  void operator()(anam_tok_token_list* list) const { anam_tok_token_list_free(list); }
  void operator()(char* text) const { anam_tok_free_string(text); }
};
template <typename T>
using Owned = std::unique_ptr<T, TokDeleter>;

Status StatusOfCode(int32_t code, char* error) {
  const Owned<char> owned(error);
  if (code == ANAM_TOK_OK) return absl::OkStatus();
  const std::string text = error != nullptr ? error : "no reason given";
  if (code == ANAM_TOK_INTERNAL) return Internal("tokenizer: ", text);
  return InvalidArgument("tokenizer: ", text);
}

std::vector<std::string> TokensOf(const anam_tok_token_list* list) {
  std::vector<std::string> tokens(anam_tok_token_list_len(list));
  for (size_t i = 0; i < tokens.size(); ++i) {
    const char* token = nullptr;
    size_t size = 0;
    anam_tok_token_list_get(list, i, nullptr, &token, &size, nullptr);
    tokens[i].assign(token, size);
  }
  return tokens;
}

// The separator without its trailing space: what a phrase carries behind it.
std::string_view StemOf(std::string_view separator) {
  return separator.substr(0, separator.size() - 1);
}

class HfTokenizer final : public Tokenizer {
 public:
  static StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& directory) {
    ANAM_ASSIGN_OR_RETURN(const TokenizerJson json, ReadTokenizerJson(directory));
    const std::string& path = json.source;
    const std::string& content = json.content;
    std::unique_ptr<HfTokenizer> self(new HfTokenizer);
    anam_tok* raw = nullptr;
    char* error = nullptr;
    const int32_t code = anam_tok_load_bytes(reinterpret_cast<const uint8_t*>(content.data()),
                                             content.size(), &raw, &error);
    ANAM_RETURN_IF_ERROR(AddContext(StatusOfCode(code, error), path));
    self->tok_.reset(raw);
    const Owned<anam_tok_token_list> vocabulary(anam_tok_vocab(raw));
    const Owned<anam_tok_token_list> added(anam_tok_added_tokens(raw));
    if (vocabulary == nullptr || added == nullptr) {
      return Internal(path, ": the vocabulary cannot be listed");
    }
    for (const std::string& token : TokensOf(added.get())) {
      if (!token.empty()) self->added_tokens_.push_back(FoldMetaspace(token));
    }
    ANAM_ASSIGN_OR_RETURN(self->exactness_,
                          ReadPhraseExactness(content, path, TokensOf(vocabulary.get())));
    ANAM_RETURN_IF_ERROR(AddContext(self->FindAffixes(), path));
    self->FindEos(directory);
    self->sha256_ = self->DigestOf(content);
    return std::unique_ptr<Tokenizer>(std::move(self));
  }

  StatusOr<Encoding> Encode(std::string_view text, bool with_offsets) const override {
    return EncodeWith(text, with_offsets, /*add_special=*/false);
  }

  StatusOr<std::string> Decode(const std::vector<int32_t>& ids, bool skip_special) const override {
    const std::vector<uint32_t> unsigned_ids(ids.begin(), ids.end());
    char* text = nullptr;
    char* error = nullptr;
    size_t size = 0;
    const int32_t code = anam_tok_decode(tok_.get(), unsigned_ids.data(), unsigned_ids.size(),
                                         skip_special ? 1 : 0, &text, &size, &error);
    ANAM_RETURN_IF_ERROR(StatusOfCode(code, error));
    const Owned<char> owned(text);
    return std::string(text, size);
  }

  const std::vector<int32_t>& prefix_ids() const override { return prefix_ids_; }
  const std::vector<int32_t>& suffix_ids() const override { return suffix_ids_; }
  StatusOr<int32_t> eos_id() const override { return eos_id_; }
  int64_t vocab_size() const override {
    return static_cast<int64_t>(anam_tok_vocab_size(tok_.get(), /*with_added=*/1));
  }
  bool phrase_exact() const override { return exactness_.exact; }
  const std::string& sha256() const override { return sha256_; }

  bool SeparatorIsExact(std::string_view separator) const override {
    const std::string folded = FoldMetaspace(separator);
    if (!exactness_.exact || folded.size() < 2 || separator.back() != ' ') return false;
    // The last two characters straddle the joint; an added token that matched across it would hold
    // both. (Comparing bytes is enough: they are the end of one character and a space.)
    const std::string joint = folded.substr(folded.size() - 2);
    if (joint[0] == ' ') return false;
    return std::none_of(added_tokens_.begin(), added_tokens_.end(), [&](const std::string& token) {
      return token.find(joint) != std::string::npos;
    });
  }

  bool PhraseIsExact(std::string_view phrase, std::string_view separator) const override {
    if (phrase.empty()) return false;  // alone it has not even the ▁ of its space
    const std::string folded = FoldMetaspace(phrase);
    if (exactness_.needs_plain_start && folded.front() == ' ') return false;
    // With its neighbouring characters, since an added token may begin or end with one of them.
    return !ContainsFolded(Cat(" ", folded, StemOf(separator)));
  }

  bool ContainsSpecial(std::string_view text) const override {
    return ContainsFolded(FoldMetaspace(text));
  }

 private:
  HfTokenizer() = default;

  StatusOr<Encoding> EncodeWith(std::string_view text, bool with_offsets, bool add_special) const {
    anam_tok_encoding* raw = nullptr;
    char* error = nullptr;
    const int32_t code = anam_tok_encode(tok_.get(), text.data(), text.size(), add_special ? 1 : 0,
                                         with_offsets ? 1 : 0, &raw, &error);
    ANAM_RETURN_IF_ERROR(StatusOfCode(code, error));
    const Owned<anam_tok_encoding> owned(raw);
    Encoding encoding;
    encoding.ids.assign(raw->ids, raw->ids + raw->len);
    if (with_offsets) {
      encoding.begin_bytes.resize(raw->len);
      for (size_t i = 0; i < raw->len; ++i) encoding.begin_bytes[i] = raw->offsets[2 * i];
    }
    return encoding;
  }

  // What the post-processor adds is read off one encoded text.
  Status FindAffixes() {
    ANAM_ASSIGN_OR_RETURN(const Encoding plain, EncodeWith("a", false, false));
    ANAM_ASSIGN_OR_RETURN(const Encoding full, EncodeWith("a", false, true));
    const auto at =
        std::search(full.ids.begin(), full.ids.end(), plain.ids.begin(), plain.ids.end());
    if (plain.ids.empty() || at == full.ids.end()) {
      return InvalidArgument(
          "the post-processor does more than put tokens before and after a text");
    }
    prefix_ids_.assign(full.ids.begin(), at);
    suffix_ids_.assign(at + static_cast<std::ptrdiff_t>(plain.ids.size()), full.ids.end());
    return absl::OkStatus();
  }

  void FindEos(const std::string& directory) {
    eos_id_ = ReadEosId(directory, [this](const std::string& token) -> std::optional<int32_t> {
      const int64_t id = anam_tok_token_to_id(tok_.get(), token.data(), token.size());
      if (id < 0) return std::nullopt;
      return static_cast<int32_t>(id);
    });
  }

  std::string DigestOf(std::string_view content) const {
    Sha256 digest;
    digest.Update(Sha256Hex(content));
    digest.Update(eos_id_.ok() ? Cat("\neos ", *eos_id_) : std::string("\nno eos"));
    for (const int32_t id : prefix_ids_) digest.Update(Cat("\nbefore ", id));
    for (const int32_t id : suffix_ids_) digest.Update(Cat("\nafter ", id));
    return digest.HexDigest();
  }

  bool ContainsFolded(const std::string& folded) const {
    return std::any_of(added_tokens_.begin(), added_tokens_.end(), [&](const std::string& token) {
      return folded.find(token) != std::string::npos;
    });
  }

  Owned<anam_tok> tok_;
  PhraseExactness exactness_;
  std::vector<std::string> added_tokens_;  // contents, ▁ as a space
  std::vector<int32_t> prefix_ids_;
  std::vector<int32_t> suffix_ids_;
  StatusOr<int32_t> eos_id_ = InvalidArgument("no directory was read");
  std::string sha256_;
};

}  // namespace

StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromDirectory(const std::string& directory) {
  return HfTokenizer::Load(directory);
}

}  // namespace anamnesis::text
