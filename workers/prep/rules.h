// SPDX-License-Identifier: Apache-2.0
// Token to text, profile `seed`: the rule table of docs/narratives.md as data. Thread-safe.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "workers/prep/tables.h"
#include "workers/shard/reader.h"

namespace anamnesis::prep {

struct Lookups {
  Lookup medical{}, lab{}, region{}, time{};
};

enum class LookupRole : uint8_t { kNone, kMedical, kLab, kRegion, kTime };
const char* NameOf(LookupRole role);  // "medical", …
// Not for kNone.
const Lookup& LookupOf(const Lookups& lookups, LookupRole role);

enum class TokenMatch {
  kExact,     // the whole token
  kPrefix,    // token begins with the pattern; the rest is the value
  kWrapped,   // token is the pattern, the value, '>'
  kQuantile,  // Q and digits
  kNumber,    // an optional sign, digits with at most one point, an optional exponent
  kLevel,     // low, normal, high, or "very …", in any case
};

enum class TokenAction {
  kSilent,    // an event without text
  kInterval,  // the time lookup's term of the value, else the value
  kAge,       // the token; a number behind the last underscore is set off by a space instead
  kValue,     // the value
  kMedical,   // the medical lookup's term of the value, else the value in Title Case
  kLab,  // the lab lookup's term of the value; else of the value without _<n>, and " <n>"; else
         // Title Case
  kNamedValue,  // "<pattern without //>: <value>"
  kRegion,      // the region lookup's term of the value, else the value
  kTitle,       // the value in Title Case
  kVerbatim,    // the token
};

struct TokenRule {
  TokenMatch match;
  const char* pattern;
  TokenAction action;
};

// The table; the first rule that matches wins.
std::span<const TokenRule> SeedRules();

// SHA-256 over a fixed text form of the table: part of a shard set's identity.
std::string RuleTableSha256();

enum class UnknownTokens { kKeepCode, kDrop, kUnknown, kError };
StatusOr<UnknownTokens> UnknownTokensFromName(const std::string& name);

// What a token becomes.
struct Rendering {
  shard::Phrase phrase{};
  bool unknown = false;                 // no rule matched: the policy made the phrase
  LookupRole role = LookupRole::kNone;  // the lookup that was asked
  bool translated = false;              // and had a term
};

Rendering RenderToken(std::string_view token, const Lookups& lookups, UnknownTokens policy);

// `_` becomes a space; in each run of ASCII letters the first is upper case, the rest lower case.
std::string TitleCase(std::string_view code);

}  // namespace anamnesis::prep
