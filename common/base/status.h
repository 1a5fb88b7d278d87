// SPDX-License-Identifier: Apache-2.0
// Status helpers: build error texts from parts, add context at a border, map a code to a process
// exit code.
#pragma once

#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace anamnesis {

using Status = absl::Status;
template <typename T>
using StatusOr = absl::StatusOr<T>;

// Concatenates streamable parts. (Debian's absl::StrCat does not take std::string_view.)
template <typename... Parts>
std::string Cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// One constructor per code; the table in docs/errors.md says what each code means to the caller.
#define ANAM_STATUS_CONSTRUCTOR(Name, code)               \
  template <typename... Parts>                            \
  [[nodiscard]] Status Name(const Parts&... parts) {      \
    return Status(absl::StatusCode::code, Cat(parts...)); \
  }
ANAM_STATUS_CONSTRUCTOR(InvalidArgument, kInvalidArgument)
ANAM_STATUS_CONSTRUCTOR(NotFound, kNotFound)
ANAM_STATUS_CONSTRUCTOR(FailedPrecondition, kFailedPrecondition)
ANAM_STATUS_CONSTRUCTOR(DataLoss, kDataLoss)
ANAM_STATUS_CONSTRUCTOR(ResourceExhausted, kResourceExhausted)
ANAM_STATUS_CONSTRUCTOR(Unavailable, kUnavailable)
ANAM_STATUS_CONSTRUCTOR(DeadlineExceeded, kDeadlineExceeded)
ANAM_STATUS_CONSTRUCTOR(Aborted, kAborted)
ANAM_STATUS_CONSTRUCTOR(AlreadyExists, kAlreadyExists)
ANAM_STATUS_CONSTRUCTOR(PermissionDenied, kPermissionDenied)
ANAM_STATUS_CONSTRUCTOR(Unimplemented, kUnimplemented)
ANAM_STATUS_CONSTRUCTOR(Internal, kInternal)
#undef ANAM_STATUS_CONSTRUCTOR

// The same code with "context: " in front of the text. OK stays OK.
[[nodiscard]] Status AddContext(const Status& status, const std::string& context);

// Status text without its code's name.
std::string MessageOf(const Status& status);

// The process exit code of the command line's contract (0 done, 1 failure, 3 not found, 4 not
// allowed, 5 conflict, 6 invalid spec or data, 7 timeout, 75 try again, 130 interrupted).
int ExitCodeOf(const Status& status);

// The message for a failed system call: strerror text of `error` (an errno value).
std::string ErrnoText(int error);

}  // namespace anamnesis

#define ANAM_CONCAT_INNER(a, b) a##b
#define ANAM_CONCAT(a, b) ANAM_CONCAT_INNER(a, b)

#define ANAM_RETURN_IF_ERROR(expr)             \
  do {                                         \
    ::absl::Status anam_status = (expr);       \
    if (!anam_status.ok()) return anam_status; \
  } while (false)

#define ANAM_ASSIGN_OR_RETURN(lhs, expr) \
  ANAM_ASSIGN_OR_RETURN_INNER(ANAM_CONCAT(anam_statusor_, __LINE__), lhs, expr)
#define ANAM_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                \
  if (!tmp.ok()) return tmp.status();               \
  lhs = std::move(tmp).value()
