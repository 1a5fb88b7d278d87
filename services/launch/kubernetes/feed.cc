// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/feed.h"

#include <algorithm>
#include <utility>

namespace anamnesis::launch {
namespace {

constexpr int64_t kWatchSeconds = 290;
// The server sends a bookmark about every minute, so silence is a lost connection.
constexpr absl::Duration kSilence = absl::Seconds(150);
constexpr absl::Duration kFirstBackoff = absl::Milliseconds(250), kLastBackoff = absl::Seconds(10);

}  // namespace

Feed::Feed(std::string path, std::string selector, ApiClient& client, const Clock& clock,
           OnChange on_change)
    : path_(std::move(path)),
      client_(client),
      clock_(clock),
      on_change_(std::move(on_change)),
      machine_(std::move(selector)),
      not_before_(clock.Monotonic()) {}

absl::Duration Feed::UntilTurn() const {
  if (asked_) return absl::InfiniteDuration();
  return std::max(absl::ZeroDuration(), not_before_ - clock_.Monotonic());
}

void Feed::Turn() {
  if (asked_ || clock_.Monotonic() < not_before_) return;
  asked_ = true;
  ApiRequest request{.path = Cat(path_, "?", machine_.Query(kWatchSeconds))};
  if (!machine_.watching()) {
    return client_.Ask(std::move(request), [this](const ApiAnswer& answer) { OnPage(answer); });
  }
  client_.Stream(
      std::move(request), kSilence, [this](std::string_view piece) { return OnBytes(piece); },
      [this](const ApiAnswer& answer) { OnWatchEnd(answer); });
}

void Feed::OnPage(const ApiAnswer& answer) {
  asked_ = false;
  if (answer.problem() == ApiProblem::kGone) return machine_.OnGone();
  if (answer.problem() != ApiProblem::kNone) return Fail(answer.words());
  const Status status = machine_.OnPage(answer.body);
  Deliver();
  if (!status.ok()) return Fail(MessageOf(status));
  problem_.clear();
  backoff_ = absl::ZeroDuration();
}

bool Feed::OnBytes(std::string_view piece) {
  const Status status = machine_.OnBytes(piece);
  Deliver();
  if (status.ok()) {
    problem_.clear();
    backoff_ = absl::ZeroDuration();
  } else if (status.code() != absl::StatusCode::kAborted) {
    problem_ = MessageOf(status);
  }
  return status.ok();
}

void Feed::OnWatchEnd(const ApiAnswer& answer) {
  asked_ = false;
  machine_.OnWatchEnd();
  if (answer.problem() == ApiProblem::kGone) return machine_.OnGone();
  if (answer.problem() != ApiProblem::kNone) return Fail(answer.words());
  if (!problem_.empty()) return Fail(problem_);
}

void Feed::Deliver() {
  for (const ObjectChange& change : machine_.TakeChanges()) on_change_(change);
}

void Feed::Fail(const std::string& problem) {
  problem_ = problem;
  backoff_ = std::clamp(2 * backoff_, kFirstBackoff, kLastBackoff);
  not_before_ = clock_.Monotonic() + backoff_;
}

}  // namespace anamnesis::launch
