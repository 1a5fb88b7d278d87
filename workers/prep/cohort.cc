// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/cohort.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "common/base/sha256.h"
#include "common/io/file.h"

namespace anamnesis::prep {
namespace {

constexpr const char* kSplits[] = {"train", "tuning", "held_out"};

bool EndsWith(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

shard::InputRecord RecordOf(const std::string& role, const std::string& name,
                            const std::string& content) {
  return {.role = role, .name = name, .bytes = content.size(), .sha256 = Sha256Hex(content)};
}

}  // namespace

Status CheckBuilt(const config::DataSection& data) {
  if (data.profile == "fused")
    return Unimplemented("data.profile: fused is not built yet; use seed");
  if (data.profile != "seed") {
    return InvalidArgument("data.profile: ", data.profile, ": expected seed or fused");
  }
  if (data.time_mode != "none") {
    return Unimplemented("data.time_mode: ", data.time_mode, " is not built yet; use none");
  }
  if (!data.value_mode.empty()) {
    return Unimplemented("data.value_mode: ", data.value_mode, " is not built yet; leave it out");
  }
  return UnknownTokensFromName(data.unknown_tokens).status();
}

StatusOr<std::vector<std::string>> PresentSplits(const std::string& data_dir) {
  std::vector<std::string> present;
  for (const char* split : kSplits) {
    if (IsDirectory(Cat(data_dir, "/", split))) present.push_back(split);
  }
  if (present.empty()) {
    return InvalidArgument("data.data_dir: ", data_dir,
                           ": has none of the folders train, tuning and held_out");
  }
  return present;
}

StatusOr<std::vector<InputFile>> ListSplit(const std::string& data_dir, const std::string& split) {
  const std::string folder = Cat(data_dir, "/", split);
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(folder));
  std::vector<InputFile> files;
  for (const std::string& name : names) {
    if (!EndsWith(name, ".pkl") || name[0] == '.') continue;
    files.push_back({.split = split,
                     .name = Cat(split, "/", name),
                     .path = Cat(folder, "/", name),
                     .number = files.size()});
  }
  if (files.empty()) return InvalidArgument(folder, ": has no .pkl file");
  return files;
}

StatusOr<std::unique_ptr<Cohort>> Cohort::Load(const config::DataSection& data, bool unlabelled) {
  ANAM_RETURN_IF_ERROR(CheckBuilt(data));
  std::unique_ptr<Cohort> cohort(new Cohort);
  cohort->data_ = data;
  cohort->unlabelled_ = unlabelled;
  ANAM_ASSIGN_OR_RETURN(cohort->unknown_tokens_, UnknownTokensFromName(data.unknown_tokens));
  if (data.vocab_filepath.empty()) return InvalidArgument("data.vocab_filepath: is missing");
  ANAM_ASSIGN_OR_RETURN(std::string content, cohort->ReadTable("vocab", data.vocab_filepath));
  ANAM_ASSIGN_OR_RETURN(cohort->vocabulary_, Vocabulary::Parse(content, data.vocab_filepath));
  if (!data.labels_filepath.empty()) {
    ANAM_ASSIGN_OR_RETURN(content, cohort->ReadTable("labels", data.labels_filepath));
    ANAM_ASSIGN_OR_RETURN(cohort->labels_, Labels::Parse(content, data.labels_filepath));
  }
  Lookups& lookups = cohort->lookups_;
  ANAM_RETURN_IF_ERROR(
      cohort->ReadLookup("medical_lookup", data.medical_lookup_filepath, &lookups.medical));
  ANAM_RETURN_IF_ERROR(cohort->ReadLookup("lab_lookup", data.lab_lookup_filepath, &lookups.lab));
  ANAM_RETURN_IF_ERROR(
      cohort->ReadLookup("region_lookup", data.region_lookup_filepath, &lookups.region));
  ANAM_RETURN_IF_ERROR(cohort->ReadLookup("time_lookup", data.time_lookup_filepath, &lookups.time));
  cohort->MakePhrases(cohort->unknown_tokens_);
  return cohort;
}

StatusOr<std::string> Cohort::ReadTable(const std::string& role, const std::string& path) {
  StatusOr<std::string> content = ReadFile(path);
  if (!content.ok()) return AddContext(content.status(), Cat("data.", role, "_filepath"));
  tables_.push_back(RecordOf(role, std::filesystem::path(path).filename().string(), *content));
  return content;
}

Status Cohort::ReadLookup(const std::string& role, const std::string& path, Lookup* lookup) {
  if (path.empty()) return absl::OkStatus();
  const bool region = role == "region_lookup";
  ANAM_ASSIGN_OR_RETURN(const std::string content, ReadTable(role, path));
  ANAM_ASSIGN_OR_RETURN(*lookup, Lookup::Parse(content, path, region ? "regionid" : "code",
                                               region ? "Description" : "term"));
  return absl::OkStatus();
}

void Cohort::MakePhrases(UnknownTokens policy) {
  std::map<std::pair<shard::PhraseKind, std::string>, uint32_t> ids;
  for (const Vocabulary::Entry& entry : vocabulary_.entries()) {
    Rendering rendering = RenderToken(entry.token, lookups_, policy);
    const auto [place, inserted] = ids.try_emplace({rendering.phrase.kind, rendering.phrase.text},
                                                   static_cast<uint32_t>(phrases_.size()));
    if (inserted) phrases_.push_back(rendering.phrase);
    phrase_of_.push_back(place->second);
    renderings_.push_back(std::move(rendering));
  }
}

Status Cohort::ReadSubjects(const InputFile& file, const Sink& sink, shard::InputRecord* record,
                            Leniency* leniency, const OnBadSubject* on_bad_subject) const {
  StatusOr<std::string> content = ReadFile(file.path);
  if (!content.ok()) return content.status();
  if (record != nullptr) *record = RecordOf(file.split, file.name, *content);
  shard::Subject subject;
  std::vector<uint32_t> positions;
  // An error of the sink is not the file's: it is passed on without the file's name.
  Status sink_error;
  const Status status = ReadSeedSubjects(*content, [&](uint64_t index, RawSubject& raw) -> Status {
    Status converted = Convert(raw, leniency, &subject, &positions);
    if (!converted.ok()) {
      converted = AddContext(converted, Cat("subject ", index));
      if (on_bad_subject == nullptr) return converted;
      sink_error = (*on_bad_subject)(AddContext(converted, file.path));
      return sink_error;
    }
    sink_error = sink(index, subject, positions);
    return sink_error;
  });
  if (!sink_error.ok()) return sink_error;
  return AddContext(status, file.path);
}

Status Cohort::Convert(const RawSubject& raw, Leniency* leniency, shard::Subject* subject,
                       std::vector<uint32_t>* positions) const {
  subject->subject_id = raw.subject_id;
  subject->is_case = false;
  subject->site.clear();
  subject->cancer_time_us.reset();
  subject->bad_cancer_date = false;
  if (!data_.labels_filepath.empty()) {
    const Label* label = labels_.Find(raw.subject_id);
    if (label == nullptr && leniency == nullptr && !unlabelled_) {
      return InvalidArgument(
          "has no row in ", data_.labels_filepath,
          "; add one (is_case 0 for a control), since a case without a label would not be cut");
    }
    if (label == nullptr) {
      if (leniency != nullptr) ++leniency->num_unlabelled;
    } else {
      subject->is_case = label->is_case;
      if (label->site > 0) subject->site = labels_.sites()[label->site - 1];
      subject->cancer_time_us = label->cancer_time_us();
      subject->bad_cancer_date = label->bad_cancer_date;
    }
  }
  const size_t num_events = raw.tokens.size();
  subject->events.resize(num_events);
  positions->resize(num_events);
  int64_t latest_us = shard::kStatic;
  bool backwards = false;
  for (size_t i = 0; i < num_events; ++i) {
    const std::optional<uint32_t> position = vocabulary_.Find(raw.tokens[i]);
    if (!position.has_value()) {
      return InvalidArgument("event ", i, ": token id ", raw.tokens[i], " is not in ",
                             data_.vocab_filepath);
    }
    if (unknown_tokens_ == UnknownTokens::kError && renderings_[*position].unknown) {
      return InvalidArgument("event ", i, ": no rule for token id ", raw.tokens[i],
                             ", and data.unknown_tokens is error");
    }
    const int64_t time_us = raw.times_us[i];
    if (time_us != shard::kStatic) {
      backwards = backwards || time_us < latest_us;
      if (backwards && leniency == nullptr) {
        return InvalidArgument("event ", i,
                               ": is earlier than an event before it, expected times in order");
      }
      latest_us = std::max(latest_us, time_us);
    }
    (*positions)[i] = *position;
    subject->events[i] = {.phrase = phrase_of_[*position], .time_us = time_us};
  }
  if (backwards) ++leniency->num_unsorted;
  return absl::OkStatus();
}

}  // namespace anamnesis::prep
