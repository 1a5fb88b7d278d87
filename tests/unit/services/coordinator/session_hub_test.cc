// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/session_hub.h"

#include <gtest/gtest.h>

#include <optional>

namespace anamnesis::coordinator {
namespace {

constexpr core::JobId kJob{3};
constexpr WorkerName kLead{kJob, 0}, kSecond{kJob, 1};

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
  hub.Register(kLead, "token", first);
  hub.Register(kLead, "token", second);
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
  hub.Register(kLead, "token", first);
  hub.Register(kLead, "token", second);
  EXPECT_FALSE(hub.Unregister(kLead, first.get()));
  EXPECT_TRUE(hub.Has(kLead));
  EXPECT_TRUE(hub.Unregister(kLead, second.get()));
  EXPECT_FALSE(hub.Unregister(kLead, second.get()));
  EXPECT_FALSE(hub.Has(kLead));
  EXPECT_FALSE(hub.Push(kJob, Ack(1)));
}

TEST(SessionHub, CloseAllReachesEveryLinkAndLeavesThemRegistered) {
  SessionHub hub;
  const auto one = std::make_shared<RecordedLink>(), two = std::make_shared<RecordedLink>();
  hub.Register({core::JobId{1}}, "token", one);
  hub.Register({core::JobId{2}}, "token", two);
  hub.CloseAll(Unavailable("ends"));
  EXPECT_TRUE(one->closed && two->closed);
  EXPECT_TRUE(hub.Has({core::JobId{1}}));  // each is forgotten when its stream has ended
}

v1::Relay RelayTo(int32_t node, int64_t sequence) {
  v1::Relay relay;
  relay.set_node(node);
  relay.set_sequence(sequence);
  return relay;
}

TEST(SessionHub, WorkersOfOneGangAreToldOfEachOther) {
  SessionHub hub;
  const auto lead = std::make_shared<RecordedLink>(), second = std::make_shared<RecordedLink>();
  hub.Register(kLead, "token", lead);
  EXPECT_TRUE(hub.Relay(kLead, lead.get(), RelayTo(1, 1)));  // lost: nobody is there
  hub.Register(kSecond, "token", second);
  ASSERT_EQ(lead->pushed.size(), 1u);
  EXPECT_TRUE(lead->pushed[0].relay().again());
  EXPECT_EQ(lead->pushed[0].relay().node(), 1);
  EXPECT_TRUE(hub.Relay(kLead, lead.get(), RelayTo(1, 1)));
  ASSERT_EQ(second->pushed.size(), 1u);
  EXPECT_EQ(second->pushed[0].relay().node(), 0);  // whom it is from
  EXPECT_EQ(second->pushed[0].relay().sequence(), 1);
}

TEST(SessionHub, AWorkerOfAnEarlierGangReachesNobody) {
  SessionHub hub;
  const auto old = std::make_shared<RecordedLink>(), lead = std::make_shared<RecordedLink>();
  hub.Register(kSecond, "old token", old);
  hub.Register(kLead, "token", lead);
  EXPECT_TRUE(hub.Relay(kSecond, old.get(), RelayTo(0, 7)));
  EXPECT_TRUE(lead->pushed.empty());
  EXPECT_TRUE(old->pushed.empty());
  hub.Register(kSecond, "token", std::make_shared<RecordedLink>());
  EXPECT_FALSE(hub.Relay(kSecond, old.get(), RelayTo(0, 8)));  // it is not the worker any more
}

TEST(SessionHub, AllWorkersOfAJobAreToldAtOnce) {
  SessionHub hub;
  const auto lead = std::make_shared<RecordedLink>(), second = std::make_shared<RecordedLink>();
  const auto other = std::make_shared<RecordedLink>();
  hub.Register(kSecond, "token", second);
  hub.Register({core::JobId{4}, 0}, "another", other);
  EXPECT_FALSE(hub.PushToAll(kJob, Ack(1)));  // the one that leads is away
  hub.Register(kLead, "token", lead);
  EXPECT_TRUE(hub.PushToAll(kJob, Ack(2)));
  EXPECT_EQ(lead->pushed.back().ack().sequence(), 2);
  EXPECT_EQ(second->pushed.back().ack().sequence(), 2);
  EXPECT_TRUE(other->pushed.empty());
}

}  // namespace
}  // namespace anamnesis::coordinator
