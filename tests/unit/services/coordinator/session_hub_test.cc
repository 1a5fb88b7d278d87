// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/session_hub.h"

#include <gtest/gtest.h>

#include <optional>

namespace anamnesis::coordinator {
namespace {

constexpr core::JobId kJob{3};

struct RecordedLink : SessionLink {
  void Push(v1::SessionResponse message) override { pushed.push_back(std::move(message)); }
  void Close(const Status& status) override { closed = status; }
  std::vector<v1::SessionResponse> pushed;
  std::optional<Status> closed;
};

v1::SessionResponse Ack(int64_t sequence) {
  v1::SessionResponse response;
  response.mutable_ack()->set_sequence(sequence);
  return response;
}

TEST(SessionHub, AnotherSessionOfTheJobTakesThePlaceOfTheFirst) {
  SessionHub hub;
  const auto first = std::make_shared<RecordedLink>(), second = std::make_shared<RecordedLink>();
  hub.Register(kJob, first);
  hub.Register(kJob, second);
  ASSERT_TRUE(first->closed);
  EXPECT_EQ(first->closed->code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(second->closed);
  EXPECT_TRUE(hub.Push(kJob, Ack(5)));
  EXPECT_TRUE(first->pushed.empty());
  ASSERT_EQ(second->pushed.size(), 1u);
  EXPECT_EQ(second->pushed[0].ack().sequence(), 5);
}

TEST(SessionHub, ALinkUnregistersOnlyItself) {
  SessionHub hub;
  const auto first = std::make_shared<RecordedLink>(), second = std::make_shared<RecordedLink>();
  hub.Register(kJob, first);
  hub.Register(kJob, second);
  EXPECT_FALSE(hub.Unregister(kJob, first.get()));
  EXPECT_TRUE(hub.Has(kJob));
  EXPECT_TRUE(hub.Unregister(kJob, second.get()));
  EXPECT_FALSE(hub.Unregister(kJob, second.get()));
  EXPECT_FALSE(hub.Has(kJob));
  EXPECT_FALSE(hub.Push(kJob, Ack(1)));
}

TEST(SessionHub, CloseAllReachesEveryLinkAndLeavesThemRegistered) {
  SessionHub hub;
  const auto one = std::make_shared<RecordedLink>(), two = std::make_shared<RecordedLink>();
  hub.Register(core::JobId{1}, one);
  hub.Register(core::JobId{2}, two);
  hub.CloseAll(Unavailable("ends"));
  EXPECT_TRUE(one->closed && two->closed);
  EXPECT_TRUE(hub.Has(core::JobId{1}));  // each is forgotten when its stream has ended
}

}  // namespace
}  // namespace anamnesis::coordinator
