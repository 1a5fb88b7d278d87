// SPDX-License-Identifier: Apache-2.0
#include "workers/text/phrase_exactness.h"

#include <optional>

#include "common/io/json.h"

namespace anamnesis::text {
namespace {

// The document without the vocabulary and the merges, which are most of it.
StatusOr<Json> ParseSettings(std::string_view tokenizer_json, const std::string& source) {
  const auto keep = [](int depth, Json::parse_event_t event, const Json& parsed) {
    return !(depth == 2 && event == Json::parse_event_t::key &&
             (parsed == Json("vocab") || parsed == Json("merges")));
  };
  Json settings =
      Json::parse(tokenizer_json.begin(), tokenizer_json.end(), keep, /*allow_exceptions=*/false);
  if (settings.is_discarded() || !settings.is_object() || !settings.contains("model") ||
      !settings["model"].is_object()) {
    return InvalidArgument(source, ": not a tokenizer.json (expected a JSON object with a model)");
  }
  return settings;
}

bool IsAbsent(const Json& object, const char* key) {
  return !object.contains(key) || object[key].is_null();
}

bool HasValue(const Json& object, const char* key, const Json& value) {
  return object.is_object() && object.contains(key) && object[key] == value;
}

bool IsPrepend(const Json& part) {
  return HasValue(part, "type", "Prepend") && HasValue(part, "prepend", std::string(kMetaspace));
}

bool IsReplaceSpace(const Json& part) {
  return HasValue(part, "type", "Replace") && HasValue(part, "content", std::string(kMetaspace)) &&
         part.contains("pattern") && HasValue(part["pattern"], "String", " ");
}

// The normalizer is exactly: put ▁ in front, then write every space as ▁.
bool IsPrependThenReplace(const Json& normalizer) {
  if (!HasValue(normalizer, "type", "Sequence") || !normalizer.contains("normalizers")) {
    return false;
  }
  const Json& parts = normalizer["normalizers"];
  return parts.is_array() && parts.size() == 2 && IsPrepend(parts[0]) && IsReplaceSpace(parts[1]);
}

// Metaspace with ▁ in front of the text; older files say add_prefix_space instead of the scheme.
bool IsPrependingMetaspace(const Json& part) {
  if (!HasValue(part, "type", "Metaspace") ||
      !HasValue(part, "replacement", std::string(kMetaspace))) {
    return false;
  }
  if (part.contains("prepend_scheme")) {
    return part["prepend_scheme"] == Json("always") || part["prepend_scheme"] == Json("first");
  }
  return HasValue(part, "add_prefix_space", true);
}

// A split before every ▁: it cuts at each joint, and elsewhere the same alone as in the whole text.
bool IsSplitBeforeMetaspace(const Json& part) {
  return HasValue(part, "type", "Split") && part.contains("pattern") &&
         HasValue(part["pattern"], "String", std::string(kMetaspace)) &&
         HasValue(part, "behavior", "MergedWithNext") && !HasValue(part, "invert", true);
}

std::optional<std::string> ModelObjection(const Json& model) {
  if (!HasValue(model, "type", "BPE")) return "the model is not BPE";
  if (!IsAbsent(model, "dropout") && model["dropout"] != Json(0.0)) return "BPE dropout";
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!IsAbsent(model, affix) && model[affix] != Json("")) return affix;
  }
  // A whole text found in the vocabulary would be taken without merging.
  if (HasValue(model, "ignore_merges", true)) return "ignore_merges";
  return std::nullopt;
}

bool HoldsMetaspaceAfterOther(std::string_view piece) {
  while (piece.substr(0, kMetaspace.size()) == kMetaspace) piece.remove_prefix(kMetaspace.size());
  return piece.find(kMetaspace) != std::string_view::npos;
}

}  // namespace

StatusOr<PhraseExactness> ReadPhraseExactness(std::string_view tokenizer_json,
                                              const std::string& source,
                                              const std::vector<std::string>& vocabulary) {
  ANAM_ASSIGN_OR_RETURN(const Json settings, ParseSettings(tokenizer_json, source));
  PhraseExactness result;
  if (const std::optional<std::string> objection = ModelObjection(settings["model"])) {
    result.reason = *objection;
    return result;
  }
  const Json none;
  const Json& normalizer = IsAbsent(settings, "normalizer") ? none : settings["normalizer"];
  const Json& splitter = IsAbsent(settings, "pre_tokenizer") ? none : settings["pre_tokenizer"];
  if (normalizer.is_null() && IsPrependingMetaspace(splitter)) {
    result.needs_plain_start = true;
  } else if (!(IsPrependThenReplace(normalizer) &&
               (splitter.is_null() || IsSplitBeforeMetaspace(splitter)))) {
    result.reason = "the normalizer and pre-tokenizer are not SentencePiece-style";
    return result;
  }
  bool has_metaspace = false;
  for (const std::string& piece : vocabulary) {
    has_metaspace = has_metaspace || piece == kMetaspace;
    if (HoldsMetaspaceAfterOther(piece)) {
      result.reason = "a piece of the vocabulary holds a space after another character";
      return result;
    }
  }
  if (!has_metaspace) {
    result.reason = "the vocabulary has no piece for a space alone";
    return result;
  }
  result.exact = true;
  return result;
}

std::string FoldMetaspace(std::string_view text) {
  std::string folded;
  folded.reserve(text.size());
  while (!text.empty()) {
    const size_t at = text.find(kMetaspace);
    folded += text.substr(0, at);
    if (at == std::string_view::npos) break;
    folded += ' ';
    text.remove_prefix(at + kMetaspace.size());
  }
  return folded;
}

}  // namespace anamnesis::text
