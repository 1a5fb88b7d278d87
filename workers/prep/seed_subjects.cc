// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/seed_subjects.h"

#include <cmath>

#include "workers/prep/pickle.h"

namespace anamnesis::prep {
namespace {

constexpr double kMaxSeconds = 1e12;

class SubjectReader {
 public:
  SubjectReader(uint64_t max_events, const RawSubjectSink& sink)
      : max_events_(max_events), sink_(sink) {}

  Status Take(uint64_t index, const PickleValue& item) {
    ANAM_RETURN_IF_ERROR(AddContext(Convert(item), Cat("subject ", index)));
    return sink_(index, subject_);
  }

 private:
  Status Convert(const PickleValue& item) {
    const auto* dict = std::get_if<std::shared_ptr<PickleContainer>>(&item);
    if (dict == nullptr || (*dict)->type != PickleType::kDict) {
      return InvalidArgument("expected a dict with subject_id, tokens and timestamps, found ",
                             PickleTypeName(item));
    }
    const PickleValue *id = nullptr, *tokens = nullptr, *timestamps = nullptr;
    const std::vector<PickleValue>& entries = (*dict)->items;
    for (size_t i = 0; i + 1 < entries.size(); i += 2) {
      const auto* key = std::get_if<std::shared_ptr<const std::string>>(&entries[i]);
      if (key == nullptr) continue;  // other keys are not ours to judge
      if (**key == "subject_id") id = &entries[i + 1];
      if (**key == "tokens") tokens = &entries[i + 1];
      if (**key == "timestamps") timestamps = &entries[i + 1];
    }
    if (id == nullptr) return InvalidArgument("has no subject_id");
    const auto* id_value = std::get_if<int64_t>(id);
    if (id_value == nullptr) {
      return InvalidArgument("subject_id: expected an int, found ", PickleTypeName(*id));
    }
    subject_.subject_id = *id_value;
    ANAM_RETURN_IF_ERROR(Tokens(tokens));
    ANAM_RETURN_IF_ERROR(Times(timestamps));
    if (subject_.tokens.size() != subject_.times_us.size()) {
      return InvalidArgument("has ", subject_.tokens.size(), " tokens and ",
                             subject_.times_us.size(), " timestamps, expected as many of both");
    }
    return absl::OkStatus();
  }

  static StatusOr<const std::vector<PickleValue>*> List(const PickleValue* value, const char* key) {
    if (value == nullptr) return InvalidArgument("has no ", key);
    const auto* list = std::get_if<std::shared_ptr<PickleContainer>>(value);
    if (list == nullptr || (*list)->type == PickleType::kDict) {
      return InvalidArgument(key, ": expected a list, found ", PickleTypeName(*value));
    }
    return &(*list)->items;
  }

  Status Tokens(const PickleValue* value) {
    ANAM_ASSIGN_OR_RETURN(const std::vector<PickleValue>* list, List(value, "tokens"));
    num_events_ += list->size();
    if (num_events_ > max_events_) {
      return InvalidArgument(
          "the subjects so far hold ", num_events_,
          " tokens, more than the file has bytes (lists shared between subjects?)");
    }
    subject_.tokens.clear();
    subject_.tokens.reserve(list->size());
    for (const PickleValue& token : *list) {
      const auto* id = std::get_if<int64_t>(&token);
      if (id == nullptr) {
        return InvalidArgument("token ", subject_.tokens.size(), ": expected an int, found ",
                               PickleTypeName(token));
      }
      subject_.tokens.push_back(*id);
    }
    return absl::OkStatus();
  }

  Status Times(const PickleValue* value) {
    ANAM_ASSIGN_OR_RETURN(const std::vector<PickleValue>* list, List(value, "timestamps"));
    if (list->size() > max_events_) return InvalidArgument("too many timestamps");
    subject_.times_us.clear();
    subject_.times_us.reserve(list->size());
    for (const PickleValue& timestamp : *list) {
      double seconds = 0;
      if (const auto* real = std::get_if<double>(&timestamp)) {
        seconds = *real;
      } else if (const auto* whole = std::get_if<int64_t>(&timestamp)) {
        seconds = static_cast<double>(*whole);
      } else {
        return InvalidArgument("timestamp ", subject_.times_us.size(), ": expected a float, found ",
                               PickleTypeName(timestamp));
      }
      int64_t micros = shard::kStatic;
      if (seconds != 0 && !MicrosFromSeconds(seconds, &micros)) {
        return InvalidArgument("timestamp ", subject_.times_us.size(),
                               ": is NaN or beyond ±1e12, expected seconds since 1970");
      }
      subject_.times_us.push_back(micros);
    }
    return absl::OkStatus();
  }

  uint64_t max_events_;
  const RawSubjectSink& sink_;
  uint64_t num_events_ = 0;
  RawSubject subject_;  // reused
};

}  // namespace

Status ReadSeedSubjects(std::string_view pickle, const RawSubjectSink& sink) {
  SubjectReader reader(pickle.size(), sink);
  return ReadPickledList(
      pickle, [&](uint64_t index, const PickleValue& item) { return reader.Take(index, item); });
}

bool MicrosFromSeconds(double seconds, int64_t* micros) {
  if (!(std::fabs(seconds) <= kMaxSeconds)) return false;  // NaN too
  *micros = std::llround(seconds * 1e6);
  return true;
}

}  // namespace anamnesis::prep
