// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/phrases.h"

#include <utility>

#include "workers/shard/frame.h"

namespace anamnesis::shard {

StatusOr<std::string> EncodePhrases(const std::vector<Phrase>& phrases) {
  std::string payload;
  AppendVarint(phrases.size(), &payload);
  for (const Phrase& phrase : phrases) {
    payload.push_back(static_cast<char>(phrase.kind));
    AppendVarint(phrase.text.size(), &payload);
    payload += phrase.text;
  }
  return EncodeFrame(kPhrasesMagic, payload);
}

StatusOr<std::vector<Phrase>> DecodePhrases(std::string_view content) {
  std::string payload;
  ANAM_RETURN_IF_ERROR(DecodeFrame(kPhrasesMagic, content, &payload));
  ByteCursor cursor(payload);
  uint64_t count = 0;
  if (!cursor.Varint(&count) || count > cursor.size()) {
    return DataLoss("phrase table header does not hold together");
  }
  std::vector<Phrase> phrases(count);
  for (uint64_t i = 0; i < count; ++i) {
    uint8_t kind = 0;
    uint64_t size_bytes = 0;
    std::string_view text;
    if (!cursor.Byte(&kind) || kind > static_cast<uint8_t>(PhraseKind::kTimeInterval) ||
        !cursor.Varint(&size_bytes) || !cursor.Bytes(size_bytes, &text)) {
      return DataLoss("phrase ", i, " does not hold together");
    }
    phrases[i].kind = static_cast<PhraseKind>(kind);
    phrases[i].text = std::string(text);
    if (text.empty() != (phrases[i].kind == PhraseKind::kSilent)) {
      return DataLoss("phrase ", i, " is empty without being silent, or the reverse");
    }
  }
  if (!cursor.empty()) return DataLoss(cursor.size(), " bytes after the last phrase");
  return phrases;
}

}  // namespace anamnesis::shard
