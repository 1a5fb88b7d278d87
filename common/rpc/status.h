// SPDX-License-Identifier: Apache-2.0
// Statuses over the wire: the code as it is, and in the binary details a google.rpc.Status with
// ErrorInfo (reason in UPPER_SNAKE, domain "anamnesis"), BadRequest with one field violation for
// each bad key, and RetryInfo where trying again makes sense. Thread-safe (pure).
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/base/status.h"

namespace grpc {
class Status;
}

namespace anamnesis::rpc {

inline constexpr char kErrorDomain[] = "anamnesis";

// Message and details together keep below what foreign clients accept in a trailer (8 KiB): longer
// texts are cut at a line or a character, later violations are left out and counted in a last one
// without a field.
//
// ErrorInfo's reason is that of a typed detail, else the code's name: a payload of the status with
// the type url "anamnesis.v1/stale_epoch" becomes STALE_EPOCH, its value the metadata entry
// "detail".
grpc::Status ToGrpc(const Status& status);

// The inverse: same code, text, violations (config::FieldViolationsOf), typed detail and retry
// delay. A status without our details (made by gRPC itself: no connection, deadline) has its code
// and text alone.
Status FromGrpc(const grpc::Status& status);

// Made by a server of ours, not by gRPC on the way to it.
bool IsFromServer(const grpc::Status& status);

// How long to wait before trying again, where the server said it.
std::optional<absl::Duration> RetryDelayOf(const Status& status);

// The reason that ErrorInfo carries: STALE_EPOCH, INVALID_ARGUMENT, ...
std::string ReasonOf(const Status& status);

}  // namespace anamnesis::rpc
