// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "common/base/check.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::text {
namespace {

class PhraseCachingEncoder final : public NarrativeEncoder {
 public:
  PhraseCachingEncoder(const Tokenizer& tokenizer, std::string_view separator)
      : tokenizer_(tokenizer),
        separator_(separator),
        by_phrase_(tokenizer.SeparatorIsExact(separator)) {}

  Status Encode(const std::vector<uint32_t>& keys, const std::vector<std::string_view>& phrases,
                std::vector<int32_t>* ids, std::vector<uint32_t>* unit_begin) override {
    ANAM_CHECK(keys.size() == phrases.size());
    ids->clear();
    unit_begin->clear();
    if (phrases.empty()) return absl::OkStatus();
    for (size_t i = 0; by_phrase_ && i < phrases.size(); ++i) {
      const bool is_last = i + 1 == phrases.size();
      ANAM_ASSIGN_OR_RETURN(const Unit* unit, Lookup(keys[i], phrases[i], is_last));
      if (unit == nullptr) {
        ids->clear();
        unit_begin->clear();
        break;
      }
      unit_begin->push_back(static_cast<uint32_t>(ids->size()));
      const int32_t* begin = pool_.data() + unit->begin;
      ids->insert(ids->end(), begin, begin + unit->length);
    }
    if (!unit_begin->empty()) return absl::OkStatus();
    return EncodeWhole(phrases, ids, unit_begin);
  }

 private:
  enum class State : uint8_t { kNew, kExact, kInexact };

  struct Unit {
    static constexpr uint32_t kNotEncoded = 0xFFFFFFFF;
    uint64_t begin = 0;  // in pool_
    uint32_t length = kNotEncoded;
  };

  struct CachedPhrase {
    Unit inner;  // phrase and separator without its space
    Unit last;   // the phrase alone: the end of a narrative
    State state = State::kNew;
  };

  // The unit of a phrase, encoded at its first use; nullptr for a phrase that cannot be encoded
  // alone.
  StatusOr<const Unit*> Lookup(uint32_t key, std::string_view phrase, bool is_last) {
    if (key >= phrases_.size()) phrases_.resize(key + size_t{1});
    CachedPhrase& cached = phrases_[key];
    if (cached.state == State::kNew) {
      cached.state = tokenizer_.PhraseIsExact(phrase, separator_) ? State::kExact : State::kInexact;
    }
    if (cached.state == State::kInexact) return nullptr;
    Unit& unit = is_last ? cached.last : cached.inner;
    if (unit.length != Unit::kNotEncoded) return &unit;
    std::string text(phrase);
    if (!is_last) text.append(separator_, 0, separator_.size() - 1);
    ANAM_ASSIGN_OR_RETURN(const Encoding encoding, tokenizer_.Encode(text, false));
    unit.begin = pool_.size();
    unit.length = static_cast<uint32_t>(encoding.ids.size());
    pool_.insert(pool_.end(), encoding.ids.begin(), encoding.ids.end());
    return &unit;
  }

  // A phrase owns the ids that start in its bytes, from the separator's trailing space (if it has
  // one) to the end of the next separator's rest: the same borders as the units above.
  Status EncodeWhole(const std::vector<std::string_view>& phrases, std::vector<int32_t>* ids,
                     std::vector<uint32_t>* unit_begin) {
    const size_t space = !separator_.empty() && separator_.back() == ' ' ? 1 : 0;
    std::string text;
    std::vector<size_t> border_bytes;
    border_bytes.reserve(phrases.size());
    for (size_t i = 0; i < phrases.size(); ++i) {
      if (i > 0) text += separator_;
      border_bytes.push_back(i > 0 ? text.size() - space : 0);
      text += phrases[i];
    }
    ANAM_ASSIGN_OR_RETURN(Encoding encoding, tokenizer_.Encode(text, true));
    size_t at = 0;
    for (const size_t border : border_bytes) {
      while (at < encoding.ids.size() && encoding.begin_bytes[at] < border) ++at;
      unit_begin->push_back(static_cast<uint32_t>(at));
    }
    *ids = std::move(encoding.ids);
    return absl::OkStatus();
  }

  const Tokenizer& tokenizer_;
  const std::string separator_;
  const bool by_phrase_;
  std::vector<CachedPhrase> phrases_;
  std::vector<int32_t> pool_;
};

}  // namespace

StatusOr<std::unique_ptr<NarrativeEncoder>> NarrativeEncoder::Create(const Tokenizer& tokenizer,
                                                                     std::string_view separator) {
  return std::unique_ptr<NarrativeEncoder>(new PhraseCachingEncoder(tokenizer, separator));
}

}  // namespace anamnesis::text
