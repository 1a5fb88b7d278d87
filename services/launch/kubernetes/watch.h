// SPDX-License-Identifier: Apache-2.0
// ListWatch: keeps a copy of a collection of the API server's in step, as a state machine over what
// the server answers: a list in pages, then a watch from the list's resourceVersion on, one JSON
// object a line. Bookmarks move the version on; a version that is too old (410 Gone) is followed by
// a new list, of which what has vanished meanwhile comes out as deleted. Pure, thread-compatible.
// kubernetes.io, "Kubernetes API Concepts", Efficient detection of changes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/io/json.h"

namespace anamnesis::launch {

struct ObjectChange {
  bool deleted = false;
  std::string name;
  std::string uid;
  Json object = {};  // of a deletion found by a list: null, else the last state
};

class ListWatch {
 public:
  static constexpr size_t kMostLineBytes = 8 << 20;
  static constexpr int kPageSize = 500;

  // `selector`: the query that chooses the objects, e.g. "labelSelector=a%3Db"; "" for all.
  explicit ListWatch(std::string selector) : selector_(std::move(selector)) {}

  // What to ask the server next: a page of a list, or a watch.
  bool watching() const { return phase_ == Phase::kWatch; }
  std::string Query(int64_t watch_seconds) const;
  // True once a whole list has been taken: what is not among the objects does not exist.
  bool synced() const { return synced_; }

  // The body of a page. kDataLoss: no list; the whole list is to be asked for anew.
  Status OnPage(std::string_view body);
  // Bytes of a watch, in pieces of any size. kAborted: the version is too old, a list comes next;
  // kDataLoss: no event, or a line above kMostLineBytes; a list comes next; kUnavailable: the
  // server's word of an error.
  Status OnBytes(std::string_view piece);
  // A watch has ended; what of a line was not complete is dropped.
  void OnWatchEnd() { line_.clear(); }
  // The server refused the version or the page's token (410).
  void OnGone();

  std::vector<ObjectChange> TakeChanges() { return std::exchange(changes_, {}); }
  size_t size() const { return known_.size(); }
  const std::string& resource_version() const { return version_; }

 private:
  enum class Phase { kList, kWatch };
  Status OnLine(std::string_view line);
  Status Set(Json object);
  void EndList();

  const std::string selector_;
  Phase phase_ = Phase::kList;
  bool synced_ = false;
  std::string version_, continue_;
  std::string line_;
  std::map<std::string, std::string> known_;   // name to uid
  std::map<std::string, std::string> listed_;  // of the list under way
  std::vector<ObjectChange> changes_;
};

}  // namespace anamnesis::launch
