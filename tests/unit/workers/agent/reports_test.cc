// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/reports.h"

#include <gtest/gtest.h>

#include <map>

namespace anamnesis::agent {
namespace {

TEST(Reports, EveryCodeHasTheReasonByWhichItIsTriedAgainOrNot) {
  // rank_failed is tried again; the others are the user's, the machine's or ours, and come again.
  const std::map<absl::StatusCode, v1::Reason> reasons = {
      {absl::StatusCode::kCancelled, v1::REASON_INTERNAL},
      {absl::StatusCode::kUnknown, v1::REASON_INTERNAL},
      {absl::StatusCode::kInvalidArgument, v1::REASON_INVALID_INPUT},
      {absl::StatusCode::kDeadlineExceeded, v1::REASON_RANK_FAILED},
      {absl::StatusCode::kNotFound, v1::REASON_INVALID_INPUT},
      {absl::StatusCode::kAlreadyExists, v1::REASON_INVALID_INPUT},
      {absl::StatusCode::kPermissionDenied, v1::REASON_INVALID_INPUT},
      {absl::StatusCode::kResourceExhausted, v1::REASON_OUT_OF_MEMORY},
      {absl::StatusCode::kFailedPrecondition, v1::REASON_INVALID_INPUT},
      {absl::StatusCode::kAborted, v1::REASON_RANK_FAILED},
      {absl::StatusCode::kOutOfRange, v1::REASON_INVALID_INPUT},
      {absl::StatusCode::kUnimplemented, v1::REASON_INVALID_INPUT},
      {absl::StatusCode::kInternal, v1::REASON_INTERNAL},
      {absl::StatusCode::kUnavailable, v1::REASON_RANK_FAILED},
      {absl::StatusCode::kDataLoss, v1::REASON_INVALID_INPUT},
      {absl::StatusCode::kUnauthenticated, v1::REASON_INVALID_INPUT}};
  ASSERT_EQ(reasons.size(), 16u);  // all codes but kOk
  for (const auto& [code, reason] : reasons) {
    EXPECT_EQ(ReasonOf(Status(code, "text")), reason) << absl::StatusCodeToString(code);
  }
}

TEST(Reports, APhaseSaysHowFarItIs) {
  const v1::Report begun = PhaseReport(3, v1::ATTEMPT_STATE_PREPARING, {.phase = "shards"});
  EXPECT_EQ(begun.epoch(), 3);
  EXPECT_EQ(begun.phase().state(), v1::ATTEMPT_STATE_PREPARING);
  EXPECT_FALSE(begun.phase().has_eta_seconds());
  const v1::Report later =
      PhaseReport(3, v1::ATTEMPT_STATE_PREPARING,
                  {.phase = "shards", .done = 2, .total = 8, .eta_seconds = 4.5});
  EXPECT_EQ(later.phase().phase(), "shards");
  EXPECT_EQ(later.phase().done(), 2);
  EXPECT_EQ(later.phase().total(), 8);
  EXPECT_EQ(later.phase().eta_seconds(), 4.5);
}

TEST(Reports, AFullDiskIsToldFromTooLittleMemory) {
  EXPECT_EQ(ReasonOf(ResourceExhausted("/out/x: write: No space left on device")),
            v1::REASON_DISK_FULL);
  EXPECT_EQ(ReasonOf(ResourceExhausted("/out/x: write: Disk quota exceeded")),
            v1::REASON_DISK_FULL);
  EXPECT_EQ(ReasonOf(ResourceExhausted("rank 0: out of memory")), v1::REASON_OUT_OF_MEMORY);
}

TEST(Reports, AGangThatWasInterruptedHasStopped) {
  const v1::Report report =
      EndReport(3, {.status = Aborted("interrupted"), .saved = true, .last_step = 7});
  EXPECT_EQ(report.epoch(), 3);
  ASSERT_TRUE(report.has_stopped());
  EXPECT_TRUE(report.stopped().saved());
  EXPECT_EQ(report.stopped().last_step(), 7);
}

TEST(Reports, AGangThatARankBrokeHasFailedAndNamesIt) {
  const v1::Report report =
      EndReport(3, {.status = Aborted("rank 1: SIGKILL"), .culprit = 1, .last_step = 7});
  ASSERT_TRUE(report.has_failed());
  EXPECT_EQ(report.failed().culprit_rank(), 1);
  EXPECT_EQ(report.failed().last_step(), 7);
  EXPECT_EQ(report.failed().reason(), v1::REASON_RANK_FAILED);
  EXPECT_EQ(report.failed().message(), "rank 1: SIGKILL");
}

TEST(Reports, AreStampedFinerThanASecond) {
  bool fine = false;
  for (int i = 0; i < 100 && !fine; ++i) fine = NewReport(1).time().nanos() % 1'000'000'000 != 0;
  EXPECT_TRUE(fine);
}

TEST(FailureReport, HoldsUtf8WhateverBytesAPathHas) {
  const v1::Report report = FailureReport(1, InvalidArgument("/data/\xff/x: no such file"));
  EXPECT_EQ(report.failed().message(), "/data/\xEF\xBF\xBD/x: no such file");
  v1::Report read;
  EXPECT_TRUE(read.ParseFromString(report.SerializeAsString()));
}

}  // namespace
}  // namespace anamnesis::agent
