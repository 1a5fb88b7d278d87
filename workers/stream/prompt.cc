// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/prompt.h"

#include <algorithm>

namespace anamnesis::stream {
namespace {

constexpr std::string_view kNarrative = "{narrative}";
constexpr std::string_view kQuestion = "{question}";

size_t CountOf(std::string_view text, std::string_view place) {
  size_t count = 0;
  for (size_t at = text.find(place); at != text.npos; at = text.find(place, at + place.size())) {
    ++count;
  }
  return count;
}

template <typename T>
bool HasEqual(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  return std::adjacent_find(values.begin(), values.end()) != values.end();
}

}  // namespace

Status CheckPrompt(const Prompt& prompt) {
  if (CountOf(prompt.text_template, kNarrative) != 1) {
    return InvalidArgument("data.prompt.template: expected {narrative} in it once, found ",
                           CountOf(prompt.text_template, kNarrative));
  }
  const size_t places = CountOf(prompt.text_template, kQuestion);
  if (places > 1 || (places == 1) != !prompt.question.empty()) {
    return InvalidArgument("data.prompt.template: has {question} ", places, " times and ",
                           prompt.question.empty() ? "there is no" : "there is a",
                           " data.prompt.question: expected both, or neither");
  }
  if (prompt.answers.size() < 2) {
    return InvalidArgument("data.prompt.answers: ", prompt.answers.size(),
                           " answers: expected one for each class, at least two");
  }
  for (size_t c = 0; c < prompt.answers.size(); ++c) {
    if (prompt.answers[c].empty()) return InvalidArgument("data.prompt.answers: ", c, " is empty");
  }
  if (HasEqual(prompt.answers)) {
    return InvalidArgument("data.prompt.answers: two classes have the same answer");
  }
  return absl::OkStatus();
}

std::string PromptText(const Prompt& prompt, std::string_view narrative) {
  const std::string_view text = prompt.text_template;
  std::string filled;
  size_t at = 0;
  while (at < text.size()) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with(kNarrative)) {
      filled += narrative;
      at += kNarrative.size();
    } else if (rest.starts_with(kQuestion)) {
      filled += prompt.question;
      at += kQuestion.size();
    } else {
      filled += text[at++];
    }
  }
  return filled;
}

StatusOr<std::vector<std::vector<int32_t>>> AnswerIds(const Prompt& prompt,
                                                      const text::Tokenizer& tokenizer) {
  ANAM_ASSIGN_OR_RETURN(const int32_t eos, tokenizer.eos_id());
  std::vector<std::vector<int32_t>> answers;
  for (size_t c = 0; c < prompt.answers.size(); ++c) {
    ANAM_ASSIGN_OR_RETURN(text::Encoding encoding,
                          tokenizer.Encode(prompt.answers[c], /*with_offsets=*/false));
    if (encoding.ids.empty()) {
      return InvalidArgument("data.prompt.answers: ", c, ": the tokenizer makes no token of it");
    }
    encoding.ids.push_back(eos);
    answers.push_back(std::move(encoding.ids));
  }
  if (HasEqual(answers)) {
    return InvalidArgument(
        "data.prompt.answers: two answers are the same tokens to this tokenizer; write them in "
        "other words");
  }
  return answers;
}

}  // namespace anamnesis::stream
