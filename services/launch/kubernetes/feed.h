// SPDX-License-Identifier: Apache-2.0
// Feed: one collection of the API server's, listed and watched through an ApiClient for as long as
// the feed lives. Errors are followed by a new try, later and later up to ten seconds. Used by the
// client's thread.
#pragma once

#include <functional>
#include <string>

#include "services/launch/kubernetes/client.h"
#include "services/launch/kubernetes/watch.h"

namespace anamnesis::launch {

class Feed {
 public:
  using OnChange = std::function<void(const ObjectChange&)>;

  // `path`: of the collection, such as /api/v1/namespaces/x/pods. Outlived by `client`'s callbacks
  // no more than by the client itself: both end together.
  Feed(std::string path, std::string selector, ApiClient& client, const Clock& clock,
       OnChange on_change);

  // Asks for what is due.
  void Turn();
  // A whole list has been taken once.
  bool synced() const { return machine_.synced(); }
  // The last that was heard was no error.
  bool healthy() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }
  // Until Turn has something to ask; infinite while an answer is on its way.
  absl::Duration UntilTurn() const;

 private:
  void OnPage(const ApiAnswer& answer);
  bool OnBytes(std::string_view piece);
  void OnWatchEnd(const ApiAnswer& answer);
  void Deliver();
  void Fail(const std::string& problem);

  const std::string path_;
  ApiClient& client_;
  const Clock& clock_;
  const OnChange on_change_;
  ListWatch machine_;
  bool asked_ = false;
  absl::Duration not_before_;  // monotonic
  absl::Duration backoff_;
  std::string problem_;
};

}  // namespace anamnesis::launch
