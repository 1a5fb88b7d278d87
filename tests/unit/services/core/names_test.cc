// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>

#include "services/core/job.h"

namespace anamnesis::core {
namespace {

// Each name leads back to its value, and none is there twice.
template <typename Enum, typename FromName>
void ExpectRoundTrip(Enum last, FromName from_name) {
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    const auto value = static_cast<Enum>(i);
    EXPECT_TRUE(names.insert(NameOf(value)).second) << NameOf(value);
    const StatusOr<Enum> back = from_name(NameOf(value));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, value) << NameOf(value);
  }
}

TEST(Names, LeadBackToTheirValues) {
  ExpectRoundTrip(JobState::kRejected, JobStateFromName);
  ExpectRoundTrip(AttemptState::kLost, AttemptStateFromName);
  ExpectRoundTrip(Reason::kDrained, ReasonFromName);
}

TEST(Names, AreThoseThatUsersRead) {
  EXPECT_STREQ(NameOf(JobState::kQueued), "queued");
  EXPECT_STREQ(NameOf(JobState::kRecovering), "recovering");
  EXPECT_STREQ(NameOf(JobState::kRejected), "rejected");
  EXPECT_STREQ(NameOf(AttemptState::kRendezvous), "rendezvous");
  EXPECT_STREQ(NameOf(AttemptState::kStopped), "stopped");
  EXPECT_STREQ(NameOf(Reason::kUserCancelled), "user_cancelled");
  EXPECT_STREQ(NameOf(Reason::kLeaseExpired), "lease_expired");
  EXPECT_STREQ(NameOf(Reason::kStopped), "stopped");
  EXPECT_EQ(NameOf(JobId{17}), "jobs/17");
}

TEST(Names, OfNothingAreRefused) {
  for (const char* name : {"", "Queued", "queued ", "nothing"}) {
    EXPECT_EQ(JobStateFromName(name).status().code(), absl::StatusCode::kDataLoss) << name;
    EXPECT_EQ(AttemptStateFromName(name).status().code(), absl::StatusCode::kDataLoss) << name;
    EXPECT_EQ(ReasonFromName(name).status().code(), absl::StatusCode::kDataLoss) << name;
  }
}

}  // namespace
}  // namespace anamnesis::core
