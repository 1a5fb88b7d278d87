// SPDX-License-Identifier: Apache-2.0
#include "workers/text/tokenizer_json.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "common/io/file.h"
#include "common/io/json.h"
#include "workers/text/special_tokens.h"

namespace anamnesis::text {
namespace {

using Vocabulary = std::map<std::string, int64_t>;

enum class LegacyKind { kWordPiece, kRoberta, kGpt2 };

struct KindRow {
  std::string_view name;  // model_type of config.json, or tokenizer_class without "Fast"
  LegacyKind kind;
};
constexpr std::array<KindRow, 10> kLegacyKinds = {{{"bert", LegacyKind::kWordPiece},
                                                   {"distilbert", LegacyKind::kWordPiece},
                                                   {"electra", LegacyKind::kWordPiece},
                                                   {"BertTokenizer", LegacyKind::kWordPiece},
                                                   {"DistilBertTokenizer", LegacyKind::kWordPiece},
                                                   {"ElectraTokenizer", LegacyKind::kWordPiece},
                                                   {"roberta", LegacyKind::kRoberta},
                                                   {"RobertaTokenizer", LegacyKind::kRoberta},
                                                   {"gpt2", LegacyKind::kGpt2},
                                                   {"GPT2Tokenizer", LegacyKind::kGpt2}}};

bool HasBytePairFiles(const std::string& directory) {
  return PathExists(directory + "/vocab.json") && PathExists(directory + "/merges.txt");
}

StatusOr<std::string> StringIn(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return std::string();
  if (!found->is_string()) return InvalidArgument(key, ": expected a string");
  return found->get<std::string>();
}

// By tokenizer_class of the settings, else by model_type of config.json; a directory with vocab.txt
// and neither is BERT's.
StatusOr<LegacyKind> FindKind(const std::string& directory, const Json& settings,
                              bool has_vocab_txt) {
  ANAM_ASSIGN_OR_RETURN(std::string name, StringIn(settings, "tokenizer_class"));
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  std::string key = "tokenizer_class";
  if (name.empty() && PathExists(directory + "/config.json")) {
    ANAM_ASSIGN_OR_RETURN(const Json config, ReadJsonFile(directory + "/config.json"));
    if (config.is_object()) {
      ANAM_ASSIGN_OR_RETURN(name, StringIn(config, "model_type"));
      key = "model_type";
    }
  }
  if (name.empty() && has_vocab_txt) return LegacyKind::kWordPiece;
  for (const KindRow& row : kLegacyKinds) {
    if (row.name == name && (row.kind == LegacyKind::kWordPiece) == has_vocab_txt) return row.kind;
  }
  return Unimplemented(directory, ": ", key, ": '", name, "' with ",
                       has_vocab_txt ? "vocab.txt" : "vocab.json and merges.txt",
                       " and without tokenizer.json is not built yet; built are vocab.txt of bert, "
                       "distilbert and electra, and vocab.json with merges.txt of roberta and gpt2 "
                       "(else save a tokenizer.json by AutoTokenizer's save_pretrained)");
}

// Lines as Python's text files have them: ended by LF, CR LF or CR.
std::vector<std::string_view> LinesOf(std::string_view content) {
  std::vector<std::string_view> lines;
  while (!content.empty()) {
    const size_t end = content.find_first_of("\r\n");
    lines.push_back(content.substr(0, end));
    if (end == std::string_view::npos) break;
    content.remove_prefix(content.substr(end, 2) == "\r\n" ? end + 2 : end + 1);
  }
  return lines;
}

// One token a line, its number the id; of a token that is there twice the last counts.
StatusOr<Vocabulary> ReadVocabTxt(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  Vocabulary vocabulary;
  int64_t id = 0;
  for (const std::string_view line : LinesOf(content)) vocabulary[std::string(line)] = id++;
  return vocabulary;
}

StatusOr<Vocabulary> ReadVocabJson(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  if (!json.is_object()) return InvalidArgument(path, ": expected a JSON object");
  Vocabulary vocabulary;
  for (const auto& [token, id] : json.items()) {
    if (!id.is_number_unsigned()) return InvalidArgument(path, ": expected ids as values");
    vocabulary[token] = id.get<int64_t>();
  }
  return vocabulary;
}

// Two pieces a line with one space between; "#version" heads the file.
StatusOr<Json> ReadMerges(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  Json merges = Json::array();
  size_t number = 0;
  for (const std::string_view line : LinesOf(content)) {
    ++number;
    if (line.empty() || line.starts_with("#version")) continue;
    const size_t space = line.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos) {
      return InvalidArgument(path, ": line ", number, ": expected two pieces");
    }
    merges.push_back({std::string(line.substr(0, space)), std::string(line.substr(space + 1))});
  }
  return merges;
}

Json SpecialPart(const std::string& content, int type_id) {
  return {{"SpecialToken", {{"id", content}, {"type_id", type_id}}}};
}

Json TextPart(const char* which, int type_id) {
  return {{"Sequence", {{"id", which}, {"type_id", type_id}}}};
}

Json TokenOfTemplate(const std::string& content, int64_t id) {
  return {{"id", content}, {"ids", {id}}, {"tokens", {content}}};
}

Status AddRoles(const Json& settings, const std::vector<std::pair<const char*, const char*>>& roles,
                AddedTokens* added) {
  for (const auto& [role, content] : roles) {
    ANAM_RETURN_IF_ERROR(added->AddRole(settings, role, content));
  }
  return added->AddFurther(settings);
}

Json Document(const AddedTokens& added, Json normalizer, Json splitter, Json post_processor,
              Json decoder, Json model) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added.ToJson()},
          {"normalizer", std::move(normalizer)},
          {"pre_tokenizer", std::move(splitter)},
          {"post_processor", std::move(post_processor)},
          {"decoder", std::move(decoder)},
          {"model", std::move(model)}};
}

// BertTokenizer.
StatusOr<Json> BuildWordPiece(const std::string& directory, const Json& settings) {
  ANAM_ASSIGN_OR_RETURN(const Vocabulary vocabulary, ReadVocabTxt(directory + "/vocab.txt"));
  ANAM_ASSIGN_OR_RETURN(const bool lowercase, BoolSetting(settings, "do_lower_case", true));
  ANAM_ASSIGN_OR_RETURN(const bool chinese, BoolSetting(settings, "tokenize_chinese_chars", true));
  Json strip_accents;  // null: as do_lower_case
  if (settings.contains("strip_accents") && !settings["strip_accents"].is_null()) {
    ANAM_ASSIGN_OR_RETURN(strip_accents, BoolSetting(settings, "strip_accents", false));
  }
  AddedTokens added(vocabulary);
  ANAM_RETURN_IF_ERROR(added.ReadListed(directory, settings));
  ANAM_RETURN_IF_ERROR(AddRoles(settings,
                                {{"bos_token", ""},
                                 {"eos_token", ""},
                                 {"unk_token", "[UNK]"},
                                 {"sep_token", "[SEP]"},
                                 {"pad_token", "[PAD]"},
                                 {"cls_token", "[CLS]"},
                                 {"mask_token", "[MASK]"}},
                                &added));
  for (const char* role : {"unk_token", "sep_token", "cls_token"}) {
    if (!vocabulary.contains(added.ContentOf(role))) {
      return InvalidArgument("vocab.txt: the ", role, " is not among its ", vocabulary.size(),
                             " tokens");
    }
  }
  const std::string& cls = added.ContentOf("cls_token");
  const std::string& sep = added.ContentOf("sep_token");
  const Json template_processing = {
      {"type", "TemplateProcessing"},
      {"single", {SpecialPart(cls, 0), TextPart("A", 0), SpecialPart(sep, 0)}},
      {"pair",
       {SpecialPart(cls, 0), TextPart("A", 0), SpecialPart(sep, 0), TextPart("B", 1),
        SpecialPart(sep, 1)}},
      {"special_tokens",
       {{cls, TokenOfTemplate(cls, added.IdOf(cls))},
        {sep, TokenOfTemplate(sep, added.IdOf(sep))}}}};
  return Document(added,
                  {{"type", "BertNormalizer"},
                   {"clean_text", true},
                   {"handle_chinese_chars", chinese},
                   {"strip_accents", strip_accents},
                   {"lowercase", lowercase}},
                  {{"type", "BertPreTokenizer"}}, template_processing,
                  {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}},
                  {{"type", "WordPiece"},
                   {"unk_token", added.ContentOf("unk_token")},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100},
                   {"vocab", vocabulary}});
}

// What RobertaTokenizer and GPT2Tokenizer put around a text.
StatusOr<Json> BytePairProcessor(LegacyKind kind, const Json& settings, const AddedTokens& added,
                                 bool prefix_space) {
  if (kind == LegacyKind::kRoberta) {
    ANAM_ASSIGN_OR_RETURN(const bool trim, BoolSetting(settings, "trim_offsets", true));
    const std::string& cls = added.ContentOf("cls_token");
    const std::string& sep = added.ContentOf("sep_token");
    if (cls.empty() || sep.empty()) return InvalidArgument("no cls_token or no sep_token");
    return Json{{"type", "RobertaProcessing"},
                {"sep", {sep, added.IdOf(sep)}},
                {"cls", {cls, added.IdOf(cls)}},
                {"trim_offsets", trim},
                {"add_prefix_space", prefix_space}};
  }
  ANAM_ASSIGN_OR_RETURN(const bool with_bos, BoolSetting(settings, "add_bos_token", false));
  ANAM_ASSIGN_OR_RETURN(const bool with_eos, BoolSetting(settings, "add_eos_token", false));
  if (with_eos) return Unimplemented("add_eos_token: true is not built yet for gpt2");
  Json single = Json::array(), pair = Json::array(), specials = Json::object();
  const std::string& bos = added.ContentOf("bos_token");
  for (int type_id = 0; type_id < 2; ++type_id) {
    if (with_bos && !bos.empty()) {
      if (type_id == 0) single.push_back(SpecialPart(bos, 0));
      pair.push_back(SpecialPart(bos, type_id));
      specials[bos] = TokenOfTemplate(bos, added.IdOf(bos));
    }
    if (type_id == 0) single.push_back(TextPart("A", 0));
    pair.push_back(TextPart(type_id == 0 ? "A" : "B", type_id));
  }
  return Json{{"type", "TemplateProcessing"},
              {"single", single},
              {"pair", pair},
              {"special_tokens", specials}};
}

// RobertaTokenizer and GPT2Tokenizer.
StatusOr<Json> BuildBytePairs(LegacyKind kind, const std::string& directory, const Json& settings) {
  ANAM_ASSIGN_OR_RETURN(const Vocabulary vocabulary, ReadVocabJson(directory + "/vocab.json"));
  ANAM_ASSIGN_OR_RETURN(Json merges, ReadMerges(directory + "/merges.txt"));
  ANAM_ASSIGN_OR_RETURN(const bool prefix_space, BoolSetting(settings, "add_prefix_space", false));
  AddedTokens added(vocabulary);
  ANAM_RETURN_IF_ERROR(added.ReadListed(directory, settings));
  std::vector<std::pair<const char*, const char*>> roles = {
      {"bos_token", "<s>"},   {"eos_token", "</s>"}, {"unk_token", "<unk>"},  {"sep_token", "</s>"},
      {"pad_token", "<pad>"}, {"cls_token", "<s>"},  {"mask_token", "<mask>"}};
  if (kind == LegacyKind::kGpt2) {
    for (auto& [role, content] : roles) content = "";
    for (size_t i = 0; i < 3; ++i) roles[i].second = "<|endoftext|>";
  }
  ANAM_RETURN_IF_ERROR(AddRoles(settings, roles, &added));
  ANAM_ASSIGN_OR_RETURN(Json processor, BytePairProcessor(kind, settings, added, prefix_space));
  const auto byte_level = [](bool with_space) {
    return Json{{"type", "ByteLevel"},
                {"add_prefix_space", with_space},
                {"trim_offsets", true},
                {"use_regex", true}};
  };
  return Document(added, nullptr, byte_level(prefix_space), std::move(processor), byte_level(true),
                  {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", ""},
                   {"end_of_word_suffix", ""},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", false},
                   {"vocab", vocabulary},
                   {"merges", std::move(merges)}});
}

}  // namespace

bool NeedsTokenizerJson(const std::string& directory) {
  return !PathExists(directory + "/tokenizer.json") &&
         (PathExists(directory + "/vocab.txt") || HasBytePairFiles(directory));
}

StatusOr<TokenizerJson> ReadTokenizerJson(const std::string& directory) {
  TokenizerJson out;
  out.source = directory + "/tokenizer.json";
  if (!NeedsTokenizerJson(directory)) {
    ANAM_ASSIGN_OR_RETURN(out.content, ReadFile(out.source));
    return out;
  }
  const bool has_vocab_txt = PathExists(directory + "/vocab.txt");
  out.source = directory + (has_vocab_txt ? "/vocab.txt" : "/vocab.json");
  ANAM_ASSIGN_OR_RETURN(const Json settings, ReadTokenizerSettings(directory));
  ANAM_ASSIGN_OR_RETURN(const LegacyKind kind, FindKind(directory, settings, has_vocab_txt));
  StatusOr<Json> built = kind == LegacyKind::kWordPiece ? BuildWordPiece(directory, settings)
                                                        : BuildBytePairs(kind, directory, settings);
  if (!built.ok()) return AddContext(built.status(), directory);
  // Bytes that are no UTF-8 throw: in a file that is no vocabulary.
  try {
    out.content = built->dump();
  } catch (const Json::exception&) {
    return InvalidArgument(out.source, ": not UTF-8 text");
  }
  return out;
}

}  // namespace anamnesis::text
