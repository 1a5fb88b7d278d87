// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/watch.h"

#include <utility>

#include "services/launch/kubernetes/object.h"

namespace anamnesis::launch {

std::string ListWatch::Query(int64_t watch_seconds) const {
  std::string query = selector_;
  const auto add = [&](const std::string& part) { query += Cat(query.empty() ? "" : "&", part); };
  if (phase_ == Phase::kWatch) {
    add(Cat("watch=true&allowWatchBookmarks=true&timeoutSeconds=", watch_seconds,
            "&resourceVersion=", QueryEscaped(version_)));
  } else {
    add(Cat("limit=", kPageSize));
    if (!continue_.empty()) add(Cat("continue=", QueryEscaped(continue_)));
  }
  return query;
}

void ListWatch::OnGone() {
  phase_ = Phase::kList;
  version_.clear();
  continue_.clear();
  listed_.clear();
  line_.clear();
}

Status ListWatch::OnPage(std::string_view body) {
  const auto refuse = [&](const std::string& what) {
    OnGone();
    return DataLoss("a list of the API server: ", what);
  };
  const StatusOr<Json> page = ParseJson(body, "a list of the API server");
  if (!page.ok()) return refuse(MessageOf(page.status()));
  const Json& items = MemberOf(*page, "items");
  if (!items.is_null() && !items.is_array()) return refuse("items is no array");
  const std::string version = TextAt(*page, {"metadata", "resourceVersion"});
  if (version.empty()) return refuse("no resourceVersion");
  for (const Json& item : items) {
    const Status status = Set(item);
    if (!status.ok()) return refuse(MessageOf(status));
    listed_[changes_.back().name] = changes_.back().uid;
  }
  continue_ = TextAt(*page, {"metadata", "continue"});
  version_ = version;
  if (continue_.empty()) EndList();
  return absl::OkStatus();
}

void ListWatch::EndList() {
  for (const auto& [name, uid] : known_) {
    if (!listed_.contains(name)) {
      changes_.push_back({.deleted = true, .name = name, .uid = uid, .object = nullptr});
    }
  }
  known_ = std::exchange(listed_, {});
  phase_ = Phase::kWatch;
  synced_ = true;
}

Status ListWatch::Set(Json object) {
  ObjectChange change{.name = TextAt(object, {"metadata", "name"}),
                      .uid = TextAt(object, {"metadata", "uid"})};
  if (change.name.empty() || change.uid.empty()) return DataLoss("an object without name or uid");
  // The same name, another object: the old one is gone.
  if (const auto known = known_.find(change.name);
      known != known_.end() && known->second != change.uid) {
    changes_.push_back(
        {.deleted = true, .name = change.name, .uid = known->second, .object = nullptr});
  }
  known_[change.name] = change.uid;
  change.object = std::move(object);
  changes_.push_back(std::move(change));
  return absl::OkStatus();
}

Status ListWatch::OnBytes(std::string_view piece) {
  while (!piece.empty()) {
    const size_t end = piece.find('\n');
    const std::string_view part = piece.substr(0, end);
    if (line_.size() + part.size() > kMostLineBytes) {
      OnGone();
      return DataLoss("a watch of the API server: an event of more than ", kMostLineBytes,
                      " bytes");
    }
    line_ += part;
    if (end == std::string_view::npos) return absl::OkStatus();
    piece.remove_prefix(end + 1);
    const std::string line = std::exchange(line_, {});
    if (line.find_first_not_of(" \r\t") == std::string::npos) continue;
    ANAM_RETURN_IF_ERROR(OnLine(line));
  }
  return absl::OkStatus();
}

Status ListWatch::OnLine(std::string_view line) {
  const auto refuse = [&](const std::string& what) {
    OnGone();
    return DataLoss("a watch of the API server: ", what);
  };
  StatusOr<Json> event = ParseJson(line, "an event");
  if (!event.ok()) return refuse(MessageOf(event.status()));
  const std::string type = TextAt(*event, {"type"});
  if (!event->is_object() || !event->contains("object")) return refuse("an event without object");
  Json& object = (*event)["object"];
  if (type == "ERROR") {
    const ApiStatus status = ApiStatusOf(object);
    if (status.code == 410 || status.reason == "Expired" || status.reason == "Gone") {
      OnGone();
      return Aborted("the API server keeps no version this old; a new list comes");
    }
    return Unavailable("the API server ends a watch: ", status.message);
  }
  const std::string version = TextAt(object, {"metadata", "resourceVersion"});
  if (version.empty()) return refuse("an object without resourceVersion");
  if (type == "BOOKMARK") {
    version_ = version;
    return absl::OkStatus();
  }
  if (type == "ADDED" || type == "MODIFIED") {
    const Status status = Set(std::move(object));
    if (!status.ok()) return refuse(MessageOf(status));
  } else if (type == "DELETED") {
    ObjectChange change{.deleted = true,
                        .name = TextAt(object, {"metadata", "name"}),
                        .uid = TextAt(object, {"metadata", "uid"})};
    if (change.name.empty()) return refuse("a deleted object without name");
    known_.erase(change.name);
    change.object = std::move(object);
    changes_.push_back(std::move(change));
  } else {
    return refuse(Cat("an event of an unknown type"));
  }
  version_ = version;
  return absl::OkStatus();
}

}  // namespace anamnesis::launch
