// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/restart_rule.h"

namespace anamnesis::gang {

RestartAdvice AdviseRestart(const Status& outcome, int64_t checkpoint_step) {
  const std::string from = checkpoint_step > 0 ? Cat("continues after step ", checkpoint_step)
                                               : "starts at step 0, no checkpoint was saved";
  switch (outcome.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return {RestartChoice::kTellUserToResume, Cat("the cause may be gone; --resume ", from)};
    case absl::StatusCode::kAborted:
      return {RestartChoice::kTellUserToResume, Cat("interrupted; --resume ", from)};
    case absl::StatusCode::kResourceExhausted:
      return {RestartChoice::kTellUserToResume, Cat("free the resource first; --resume ", from)};
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return {RestartChoice::kGiveUp, "the same input would fail again: correct it first"};
    default:
      return {RestartChoice::kGiveUp, "an error of the program: it would come again"};
  }
}

}  // namespace anamnesis::gang
