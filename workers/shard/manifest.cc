// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/manifest.h"

#include "common/base/sha256.h"
#include "common/io/json.h"

namespace anamnesis::shard {
namespace {

constexpr char kFormat[] = "anamnesis-shards";

Json FileToJson(const FileRecord& record) {
  return {{"file", record.file}, {"bytes", record.bytes}, {"sha256", record.sha256}};
}

Json SplitToJson(const SplitRecord& split) {
  Json shards = Json::array();
  for (const ShardRecord& shard : split.shards) {
    Json json = FileToJson(shard);
    json["subjects"] = shard.subjects;
    json["events"] = shard.events;
    shards.push_back(json);
  }
  return {{"name", split.name},
          {"subjects", split.subjects},
          {"events", split.events},
          {"cases", split.cases},
          {"static_events", split.static_events},
          {"silent_events", split.silent_events},
          {"unknown_events", split.unknown_events},
          {"subject_hashes", FileToJson(split.subject_hashes)},
          {"shards", shards}};
}

std::string Canonical(const Json& json) { return json.dump(2) + "\n"; }

// Reads members and remembers the first that is missing or of another type.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) {
    if (!object.is_object()) Fail("an entry is not an object");
  }
  std::string Text(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr || !value->is_string()) return Fail(key), "";
    return value->get<std::string>();
  }
  uint64_t Count(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr || !value->is_number_unsigned()) return Fail(key), 0;
    return value->get<uint64_t>();
  }
  const Json& List(const char* key) { return Typed(key, Json::value_t::array); }
  const Json& Object(const char* key) { return Typed(key, Json::value_t::object); }
  const Status& status() const { return status_; }
  void Merge(const Status& status) {
    if (status_.ok()) status_ = status;
  }

 private:
  const Json* Find(const char* key) const {
    const auto found = object_.find(key);
    return object_.is_object() && found != object_.end() ? &*found : nullptr;
  }
  const Json& Typed(const char* key, Json::value_t type) {
    static const Json empty_list = Json::array(), empty_object = Json::object();
    const Json* value = Find(key);
    if (value != nullptr && value->type() == type) return *value;
    Fail(key);
    return type == Json::value_t::array ? empty_list : empty_object;
  }
  void Fail(const char* what) {
    Merge(DataLoss("manifest entry missing or of the wrong type: ", what));
  }

  const Json& object_;
  Status status_;
};

// File names are joined to the set's path: a name that leads out of the directory is damage or
// malice.
Status FileFromJson(const Json& json, FileRecord* record) {
  Fields fields(json);
  record->file = fields.Text("file");
  record->bytes = fields.Count("bytes");
  record->sha256 = fields.Text("sha256");
  if (record->file.empty() || record->file.find('/') != std::string::npos ||
      record->file[0] == '.') {
    fields.Merge(DataLoss("a file name in the manifest is not a plain name"));
  }
  return fields.status();
}

Status SplitFromJson(const Json& json, SplitRecord* split) {
  Fields fields(json);
  split->name = fields.Text("name");
  split->subjects = fields.Count("subjects");
  split->events = fields.Count("events");
  split->cases = fields.Count("cases");
  split->static_events = fields.Count("static_events");
  split->silent_events = fields.Count("silent_events");
  split->unknown_events = fields.Count("unknown_events");
  fields.Merge(FileFromJson(fields.Object("subject_hashes"), &split->subject_hashes));
  uint64_t subjects = 0, events = 0;
  for (const Json& entry : fields.List("shards")) {
    ShardRecord& shard = split->shards.emplace_back();
    fields.Merge(FileFromJson(entry, &shard));
    Fields counts(entry);
    subjects += shard.subjects = counts.Count("subjects");
    events += shard.events = counts.Count("events");
    fields.Merge(counts.status());
  }
  if (subjects != split->subjects || events != split->events) {
    fields.Merge(DataLoss("counts of the shards do not add up to those of their split"));
  }
  return fields.status();
}

}  // namespace

std::string ManifestText(const Manifest& manifest) {
  Json inputs = Json::array(), splits = Json::array();
  for (const InputRecord& input : manifest.inputs) {
    inputs.push_back({{"role", input.role},
                      {"name", input.name},
                      {"bytes", input.bytes},
                      {"sha256", input.sha256}});
  }
  for (const SplitRecord& split : manifest.splits) splits.push_back(SplitToJson(split));
  Json phrases = FileToJson(manifest.phrases);
  phrases["count"] = manifest.num_phrases;
  Json json = {{"format", kFormat},
               {"format_version", kFormatVersion},
               {"sha256", ""},
               {"code_version", manifest.code_version},
               {"digest", manifest.digest},
               {"inputs", inputs},
               {"rules",
                {{"profile", manifest.profile},
                 {"unknown_tokens", manifest.unknown_tokens},
                 {"table_sha256", manifest.rule_table_sha256},
                 {"sha256", manifest.rules_sha256}}},
               {"phrases", phrases},
               {"sites", manifest.sites},
               {"splits", splits}};
  for (const LookupRecord& lookup : manifest.lookups) {
    json["lookups"].push_back(
        {{"role", lookup.role}, {"events", lookup.events}, {"translated", lookup.translated}});
  }
  json["sha256"] = Sha256Hex(Canonical(json));
  return Canonical(json);
}

StatusOr<Manifest> ParseManifest(std::string_view text) {
  StatusOr<Json> parsed = ParseJson(text, kManifestFile);
  if (!parsed.ok()) return DataLoss("not a whole JSON document");
  Json json = *parsed;
  Fields fields(json);
  if (fields.Text("format") != kFormat) return DataLoss("not the manifest of a shard set");
  const uint64_t version = fields.Count("format_version");
  const std::string declared = fields.Text("sha256");
  ANAM_RETURN_IF_ERROR(fields.status());
  if (Canonical(json) != text) return DataLoss("text is not canonical (edited or damaged)");
  json["sha256"] = "";
  if (Sha256Hex(Canonical(json)) != declared) return DataLoss("SHA-256 does not match its content");
  if (version != kFormatVersion) {
    return Unimplemented("shard format version ", version, " is not built yet, expected ",
                         kFormatVersion);
  }
  Manifest manifest;
  manifest.code_version = fields.Text("code_version");
  manifest.digest = fields.Text("digest");
  for (const Json& entry : fields.List("inputs")) {
    Fields input(entry);
    manifest.inputs.push_back(
        {input.Text("role"), input.Text("name"), input.Count("bytes"), input.Text("sha256")});
    fields.Merge(input.status());
  }
  Fields rules(fields.Object("rules"));
  manifest.profile = rules.Text("profile");
  manifest.unknown_tokens = rules.Text("unknown_tokens");
  manifest.rule_table_sha256 = rules.Text("table_sha256");
  manifest.rules_sha256 = rules.Text("sha256");
  fields.Merge(rules.status());
  const Json& phrases = fields.Object("phrases");
  fields.Merge(FileFromJson(phrases, &manifest.phrases));
  Fields phrase_fields(phrases);
  manifest.num_phrases = phrase_fields.Count("count");
  fields.Merge(phrase_fields.status());
  for (const Json& site : fields.List("sites")) {
    if (!site.is_string()) return DataLoss("manifest entry missing or of the wrong type: sites");
    manifest.sites.push_back(site.get<std::string>());
  }
  for (const Json& entry : fields.List("splits")) {
    fields.Merge(SplitFromJson(entry, &manifest.splits.emplace_back()));
  }
  if (json.contains("lookups")) {
    for (const Json& entry : fields.List("lookups")) {
      Fields lookup(entry);
      const uint64_t events = lookup.Count("events"), translated = lookup.Count("translated");
      manifest.lookups.push_back({lookup.Text("role"), events, translated});
      fields.Merge(lookup.status());
      if (translated > events) fields.Merge(DataLoss("a lookup has more terms than events"));
    }
  }
  ANAM_RETURN_IF_ERROR(fields.status());
  return manifest;
}

}  // namespace anamnesis::shard
