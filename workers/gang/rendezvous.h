// SPDX-License-Identifier: Apache-2.0
// RendezvousStore: the keys by which the ranks of one attempt find each other, kept by the worker
// and served over the ranks' channels. One store belongs to one run id and epoch, so ranks of
// another attempt never see its keys. Pure: time is passed in. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/io/json.h"

namespace anamnesis::gang {

class RendezvousStore {
 public:
  struct Reply {
    int rank = 0;
    Json message;  // a store_reply
  };

  // Handles store_set, store_get or store_wait of a rank and returns the replies that are due now:
  // its own and those of ranks that waited for the key. kInvalidArgument for a malformed request,
  // kResourceExhausted above 64 MiB.
  StatusOr<std::vector<Reply>> Handle(int rank, const Json& request, absl::Duration now);
  // Negative replies to those whose time is over.
  std::vector<Reply> Expire(absl::Duration now);
  // When Expire has something to do next; infinite when nobody waits.
  absl::Duration NextDeadline() const;
  // Forgets what a rank waits for.
  void Forget(int rank);

 private:
  struct Waiter {
    int rank = 0;
    int64_t id = 0;
    std::vector<std::string> keys = {};
    bool wants_value = false;
    absl::Duration deadline = absl::ZeroDuration();
  };

  bool Satisfied(const Waiter& waiter) const;
  Reply Answer(const Waiter& waiter, bool ok) const;

  std::map<std::string, std::string> values_;  // hex
  size_t size_bytes_ = 0;
  std::vector<Waiter> waiters_;
};

}  // namespace anamnesis::gang
