// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/reports.h"

#include <google/protobuf/util/time_util.h>

#include "absl/time/clock.h"
#include "common/io/json.h"

namespace anamnesis::agent {
namespace {

// A text may quote a path of any bytes, and a message of the protocol holds UTF-8 alone.
std::string AsUtf8(const std::string& text) {
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

v1::Report NewReport(int64_t epoch) {
  v1::Report report;
  report.set_epoch(epoch);
  *report.mutable_time() = google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(
      absl::ToUnixMicros(absl::Now()));  // its own clock has whole seconds
  return report;
}

v1::Report PhaseReport(int64_t epoch, v1::AttemptState state, const PhaseView& view) {
  v1::Report report = NewReport(epoch);
  v1::PhaseReport& phase = *report.mutable_phase();
  phase.set_state(state);
  phase.set_phase(view.phase);
  phase.set_done(static_cast<int64_t>(view.done));
  phase.set_total(static_cast<int64_t>(view.total));
  if (view.eta_seconds) phase.set_eta_seconds(*view.eta_seconds);
  return report;
}

v1::Reason ReasonOf(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return v1::REASON_INVALID_INPUT;
    case absl::StatusCode::kResourceExhausted: {
      // The two that a rank meets: memory, and the disk of a checkpoint.
      const std::string text = MessageOf(status);
      const bool disk = text.find("No space left") != std::string::npos ||
                        text.find("quota") != std::string::npos;
      return disk ? v1::REASON_DISK_FULL : v1::REASON_OUT_OF_MEMORY;
    }
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return v1::REASON_RANK_FAILED;
    default:
      return v1::REASON_INTERNAL;
  }
}

v1::Report FailureReport(int64_t epoch, const Status& status) {
  v1::Report report = NewReport(epoch);
  v1::FailedReport& failed = *report.mutable_failed();
  failed.set_code(static_cast<int>(status.code()));
  failed.set_message(AsUtf8(MessageOf(status)));
  failed.set_culprit_rank(-1);
  failed.set_reason(ReasonOf(status));
  if (failed.reason() == v1::REASON_DISK_FULL) {
    failed.set_message(Cat(failed.message(), "; free some space there, the job goes on by itself"));
  }
  return report;
}

v1::Report EndReport(int64_t epoch, const gang::Outcome& outcome) {
  if (outcome.status.code() == absl::StatusCode::kAborted && outcome.culprit < 0) {
    v1::Report report = NewReport(epoch);
    report.mutable_stopped()->set_last_step(outcome.last_step);
    report.mutable_stopped()->set_saved(outcome.saved);
    return report;
  }
  v1::Report report = FailureReport(epoch, outcome.status);
  report.mutable_failed()->set_culprit_rank(outcome.culprit);
  report.mutable_failed()->set_last_step(outcome.last_step);
  return report;
}

}  // namespace anamnesis::agent
