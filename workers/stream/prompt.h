// SPDX-License-Identifier: Apache-2.0
// A question put to a language model behind a narrative, and the answer of each class.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::stream {

struct Prompt {
  std::string text_template;         // data.prompt.template: "{narrative}" once, "{question}" once
                                     // or, without a question, never
  std::string question;              // data.prompt.question
  std::vector<std::string> answers;  // data.prompt.answers, [C] by class

  bool operator==(const Prompt&) const = default;
};

// kInvalidArgument names the key: a template without one {narrative}, a question without a place or
// a place without a question, fewer than two answers, an empty answer, two equal ones.
Status CheckPrompt(const Prompt& prompt);

// The template with both places filled in one pass: braces within a narrative mean nothing.
std::string PromptText(const Prompt& prompt, std::string_view narrative);

// What follows the prompt for each class, [C]: the ids of the answer, encoded alone as the
// tokenizer encodes a text without special tokens, and EOS. These are the labels. kInvalidArgument:
// an answer without ids, two answers with the same ones, a tokenizer without EOS.
StatusOr<std::vector<std::vector<int32_t>>> AnswerIds(const Prompt& prompt,
                                                      const text::Tokenizer& tokenizer);

}  // namespace anamnesis::stream
