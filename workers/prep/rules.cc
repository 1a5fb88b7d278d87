// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/rules.h"

#include <utility>

#include "common/base/sha256.h"

namespace anamnesis::prep {
namespace {

// Order matters: first match wins.
constexpr TokenRule kSeedRules[] = {
    {TokenMatch::kExact, "<start>", TokenAction::kSilent},
    {TokenMatch::kExact, "<end>", TokenAction::kSilent},
    {TokenMatch::kExact, "<unknown>", TokenAction::kSilent},
    {TokenMatch::kExact, "MEDS_BIRTH", TokenAction::kSilent},
    {TokenMatch::kWrapped, "<time_interval_", TokenAction::kInterval},
    {TokenMatch::kPrefix, "AGE", TokenAction::kAge},
    {TokenMatch::kPrefix, "GENDER//", TokenAction::kValue},
    {TokenMatch::kPrefix, "ETHNICITY//", TokenAction::kValue},
    {TokenMatch::kPrefix, "MEDICAL//", TokenAction::kMedical},
    {TokenMatch::kPrefix, "MEASUREMENT//", TokenAction::kMedical},
    {TokenMatch::kPrefix, "LAB//", TokenAction::kLab},
    {TokenMatch::kPrefix, "BMI//", TokenAction::kNamedValue},
    {TokenMatch::kPrefix, "HEIGHT//", TokenAction::kNamedValue},
    {TokenMatch::kPrefix, "WEIGHT//", TokenAction::kNamedValue},
    {TokenMatch::kPrefix, "REGION//", TokenAction::kRegion},
    {TokenMatch::kPrefix, "LIFESTYLE//", TokenAction::kTitle},
    {TokenMatch::kQuantile, "", TokenAction::kValue},
    {TokenMatch::kNumber, "", TokenAction::kVerbatim},
    {TokenMatch::kLevel, "", TokenAction::kVerbatim},
};

bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

size_t CountDigits(std::string_view text) {
  size_t count = 0;
  while (count < text.size() && IsDigit(text[count])) ++count;
  return count;
}

bool IsDigits(std::string_view text) { return !text.empty() && CountDigits(text) == text.size(); }

bool IsNumber(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  const size_t whole = CountDigits(text);
  text.remove_prefix(whole);
  size_t fraction = 0;
  if (!text.empty() && text[0] == '.') {
    fraction = CountDigits(text.substr(1));
    text.remove_prefix(1 + fraction);
  }
  if (whole + fraction == 0) return false;
  if (text.empty()) return true;
  if (text[0] != 'e' && text[0] != 'E') return false;
  text.remove_prefix(1);
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return IsDigits(text);
}

bool IsLevel(std::string_view token) {
  std::string lower(token);
  for (char& c : lower) {
    if (IsUpper(c)) c = static_cast<char>(c - 'A' + 'a');
  }
  return lower == "low" || lower == "normal" || lower == "high" ||
         (lower.size() > 5 && lower.rfind("very ", 0) == 0);
}

bool Matches(const TokenRule& rule, std::string_view token, std::string_view* value) {
  const std::string_view pattern = rule.pattern;
  switch (rule.match) {
    case TokenMatch::kExact:
      return token == pattern;
    case TokenMatch::kPrefix:
      if (token.substr(0, pattern.size()) != pattern) return false;
      *value = token.substr(pattern.size());
      // "GENDER//" without a value says nothing; AGE alone is a token of its own.
      return !value->empty() || rule.action == TokenAction::kAge;
    case TokenMatch::kWrapped:
      if (token.substr(0, pattern.size()) != pattern || token.back() != '>') return false;
      *value = token.substr(pattern.size(), token.size() - pattern.size() - 1);
      return !value->empty();
    case TokenMatch::kQuantile:
      *value = token.substr(token.empty() ? 0 : 1);
      return !token.empty() && token[0] == 'Q' && IsDigits(*value);
    case TokenMatch::kNumber:
      return IsNumber(token);
    case TokenMatch::kLevel:
      return IsLevel(token);
  }
  return false;
}

// Splits NAME_5 into NAME and 5.
bool SplitNumber(std::string_view text, std::string_view* name, std::string_view* number) {
  const size_t underscore = text.rfind('_');
  if (underscore == std::string_view::npos || underscore == 0) return false;
  *name = text.substr(0, underscore);
  *number = text.substr(underscore + 1);
  return IsDigits(*number);
}

std::string LookedUp(const Lookups& lookups, LookupRole role, std::string_view code,
                     Rendering* rendering) {
  rendering->role = role;
  const std::string* term = LookupOf(lookups, role).Find(code);
  rendering->translated = term != nullptr;
  return term != nullptr ? *term : "";
}

std::string LabText(std::string_view code, const Lookups& lookups, Rendering* rendering) {
  std::string text = LookedUp(lookups, LookupRole::kLab, code, rendering);
  if (rendering->translated) return text;
  std::string_view name, number;
  if (SplitNumber(code, &name, &number)) {
    text = LookedUp(lookups, LookupRole::kLab, name, rendering);
    if (rendering->translated) return Cat(text, " ", number);
  }
  return TitleCase(code);
}

std::string Text(const TokenRule& rule, std::string_view token, std::string_view value,
                 const Lookups& lookups, Rendering* rendering) {
  std::string text;
  std::string_view name, number;
  switch (rule.action) {
    case TokenAction::kSilent:
      return "";
    case TokenAction::kInterval:
      text = LookedUp(lookups, LookupRole::kTime, value, rendering);
      return rendering->translated ? text : std::string(value);
    case TokenAction::kAge:
      return SplitNumber(token, &name, &number) ? Cat(name, " ", number) : std::string(token);
    case TokenAction::kValue:
      return std::string(value);
    case TokenAction::kMedical:
      text = LookedUp(lookups, LookupRole::kMedical, value, rendering);
      return rendering->translated ? text : TitleCase(value);
    case TokenAction::kLab:
      return LabText(value, lookups, rendering);
    case TokenAction::kNamedValue:
      return Cat(
          std::string_view(rule.pattern).substr(0, std::string_view(rule.pattern).size() - 2), ": ",
          value);
    case TokenAction::kRegion:
      text = LookedUp(lookups, LookupRole::kRegion, value, rendering);
      return rendering->translated ? text : std::string(value);
    case TokenAction::kTitle:
      return TitleCase(value);
    case TokenAction::kVerbatim:
      return std::string(token);
  }
  return "";
}

// A narrative is one line: control characters of a term or token (line breaks, tabs) become spaces.
shard::Phrase MakePhrase(std::string text, shard::PhraseKind kind) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (text.find_first_not_of(' ') == std::string::npos) {
    text.clear();
    kind = shard::PhraseKind::kSilent;
  }
  return {.text = std::move(text), .kind = kind};
}

}  // namespace

std::span<const TokenRule> SeedRules() { return kSeedRules; }

std::string RuleTableSha256() {
  std::string text = "seed 1\n";  // raise the number when an action changes its meaning
  for (const TokenRule& rule : kSeedRules) {
    text += Cat(static_cast<int>(rule.match), " ", rule.pattern, " ", static_cast<int>(rule.action),
                "\n");
  }
  return Sha256Hex(text);
}

const char* NameOf(LookupRole role) {
  switch (role) {
    case LookupRole::kMedical:
      return "medical";
    case LookupRole::kLab:
      return "lab";
    case LookupRole::kRegion:
      return "region";
    case LookupRole::kTime:
      return "time";
    default:
      return "none";
  }
}

const Lookup& LookupOf(const Lookups& lookups, LookupRole role) {
  switch (role) {
    case LookupRole::kMedical:
      return lookups.medical;
    case LookupRole::kLab:
      return lookups.lab;
    case LookupRole::kRegion:
      return lookups.region;
    default:
      return lookups.time;
  }
}

StatusOr<UnknownTokens> UnknownTokensFromName(const std::string& name) {
  if (name == "keep-code") return UnknownTokens::kKeepCode;
  if (name == "drop") return UnknownTokens::kDrop;
  if (name == "unknown") return UnknownTokens::kUnknown;
  if (name == "error") return UnknownTokens::kError;
  return InvalidArgument("data.unknown_tokens: ", name,
                         ": expected keep-code, drop, unknown or error");
}

Rendering RenderToken(std::string_view token, const Lookups& lookups, UnknownTokens policy) {
  Rendering rendering;
  for (const TokenRule& rule : kSeedRules) {
    std::string_view value;
    if (!Matches(rule, token, &value)) continue;
    const auto kind = rule.action == TokenAction::kInterval ? shard::PhraseKind::kTimeInterval
                                                            : shard::PhraseKind::kText;
    rendering.phrase = MakePhrase(Text(rule, token, value, lookups, &rendering), kind);
    return rendering;
  }
  rendering.unknown = true;
  std::string text;  // drop and error: nothing
  if (policy == UnknownTokens::kKeepCode) text = std::string(token);
  if (policy == UnknownTokens::kUnknown) text = "Unknown";
  rendering.phrase = MakePhrase(std::move(text), shard::PhraseKind::kText);
  return rendering;
}

std::string TitleCase(std::string_view code) {
  std::string title(code);
  bool in_letters = false;
  for (char& c : title) {
    if (in_letters && IsUpper(c)) c = static_cast<char>(c - 'A' + 'a');
    if (!in_letters && IsLower(c)) c = static_cast<char>(c - 'a' + 'A');
    in_letters = IsUpper(c) || IsLower(c) || static_cast<unsigned char>(c) >= 0x80;
    if (c == '_') c = ' ';
  }
  return title;
}

}  // namespace anamnesis::prep
