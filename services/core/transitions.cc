// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "services/core/apply.h"

namespace anamnesis::core {
namespace {

std::vector<JobState> WaysOut(JobState from) {
  using enum JobState;
  switch (from) {
    case kQueued:
      return {kPreparing, kPaused, kCancelled, kFailed};
    case kPreparing:
      return {kStarting,   kRunning,   kQueued, kPausing, kRecovering,
              kCancelling, kSucceeded, kFailed, kRejected};
    case kStarting:
      return {kRunning,    kQueued,    kPausing, kRecovering,
              kCancelling, kSucceeded, kFailed,  kRejected};
    case kRunning:
      return {kQueued, kPausing, kRecovering, kCancelling, kSucceeded, kFailed};
    case kPausing:
      return {kPaused, kCancelling, kSucceeded};
    case kPaused:
      return {kQueued, kCancelled};
    case kRecovering:
      return {kPreparing, kPaused, kCancelled, kFailed};
    case kCancelling:
      return {kCancelled, kSucceeded};
    default:
      return {};
  }
}

}  // namespace

bool MayGo(JobState from, JobState to) {
  const std::vector<JobState> ways = WaysOut(from);
  return std::find(ways.begin(), ways.end(), to) != ways.end();
}

}  // namespace anamnesis::core
