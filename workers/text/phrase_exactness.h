// SPDX-License-Identifier: Apache-2.0
// When is the encoding of "A, B, C" the concatenation of the encodings of "A,", "B," and "C"? Read
// from a tokenizer.json once, at load (design: reference/performance.md 3.2).
//
// SentencePiece-style BPE writes every space as ▁ and puts one ▁ in front of the text:
//   whole text   "A, B, C"              →  ▁A,▁B,▁C
//   alone        "A,"  "B,"  "C"        →  ▁A,  ▁B,  ▁C
// so the characters are the same; the ▁ that stands for the space before B is the one put in front
// of B alone. Only the merges remain. BPE applies the merge of lowest rank anywhere until none is
// left, and each merge yields a vocabulary piece. If no piece holds ▁ after another character, no
// merge ever joins the two sides of a joint between a non-▁ character (the separator's last
// character before its space) and ▁; merges on one side then never depend on the other side, and
// each side is merged exactly as it would be alone. Unknown characters are fused or turned into
// bytes within a run; ▁ being in the vocabulary ends every run at the joint.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::text {

struct PhraseExactness {
  bool exact = false;  // the text above holds for this tokenizer
  // Metaspace puts ▁ in front only of a text that does not begin with one (or with a space);
  // the normalizer Prepend puts it in front of every text. Then a phrase that begins so is no unit.
  bool needs_plain_start = false;
  std::string reason;  // why not exact; for logs, empty when exact
};

inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // ▁, U+2581

// `tokenizer_json`: content of tokenizer.json, `source` its path, `vocabulary` every piece of the
// model. kInvalidArgument when the content is not a JSON object with a model.
StatusOr<PhraseExactness> ReadPhraseExactness(std::string_view tokenizer_json,
                                              const std::string& source,
                                              const std::vector<std::string>& vocabulary);

// `text` with every ▁ as a space: added tokens match before or after the normalizer writes ▁.
std::string FoldMetaspace(std::string_view text);

}  // namespace anamnesis::text
