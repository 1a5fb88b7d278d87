// SPDX-License-Identifier: Apache-2.0
#include "common/base/status.h"

#include <cstring>

#include "absl/strings/cord.h"

namespace anamnesis {

Status AddContext(const Status& status, const std::string& context) {
  if (status.ok()) return status;
  Status out(status.code(), Cat(context, ": ", MessageOf(status)));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    out.SetPayload(url, payload);  // typed details stay
  });
  return out;
}

std::string MessageOf(const Status& status) {
  return std::string(status.message().data(), status.message().size());
}

int ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kNotFound:
      return 3;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return 4;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return 5;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kDataLoss:
      return 6;
    case absl::StatusCode::kDeadlineExceeded:
      return 7;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return 75;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return 130;
    default:
      return 1;
  }
}

std::string ErrnoText(int error) { return std::strerror(error); }

}  // namespace anamnesis
