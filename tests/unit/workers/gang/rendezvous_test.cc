// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/rendezvous.h"

#include <gtest/gtest.h>

namespace anamnesis::gang {
namespace {

const absl::Duration kNow = absl::Seconds(100);

Json Set(const char* key, const char* value) {
  return {{"kind", "store_set"}, {"key", key}, {"value", value}};
}
Json Get(int id, const char* key, int timeout_ms) {
  return {{"kind", "store_get"}, {"id", id}, {"key", key}, {"timeout_ms", timeout_ms}};
}
Json Wait(int id, std::vector<std::string> keys, int timeout_ms) {
  return {{"kind", "store_wait"}, {"id", id}, {"keys", keys}, {"timeout_ms", timeout_ms}};
}

TEST(RendezvousStore, AnswersAtOnceWhatIsThere) {
  RendezvousStore store;
  EXPECT_TRUE(store.Handle(0, Set("k", "00ff"), kNow)->empty());
  const auto replies = store.Handle(1, Get(7, "k", 0), kNow);
  ASSERT_EQ(replies->size(), 1u);
  EXPECT_EQ((*replies)[0].rank, 1);
  EXPECT_EQ((*replies)[0].message,
            Json({{"kind", "store_reply"}, {"id", 7}, {"ok", true}, {"value", "00ff"}}));
}

TEST(RendezvousStore, AnswersWaitersWhenTheLastKeyComes) {
  RendezvousStore store;
  EXPECT_TRUE(store.Handle(1, Wait(1, {"a", "b"}, 1000), kNow)->empty());
  EXPECT_TRUE(store.Handle(2, Get(1, "b", 1000), kNow)->empty());
  EXPECT_TRUE(store.Handle(0, Set("a", ""), kNow)->empty());
  const auto replies = store.Handle(0, Set("b", "01"), kNow);
  ASSERT_EQ(replies->size(), 2u);
  EXPECT_EQ((*replies)[0].rank, 1);
  EXPECT_EQ((*replies)[0].message["value"], "");
  EXPECT_EQ((*replies)[1].message["value"], "01");
  EXPECT_EQ(store.NextDeadline(), absl::InfiniteDuration());
}

TEST(RendezvousStore, SaysNoWhenTheTimeIsOver) {
  RendezvousStore store;
  ASSERT_TRUE(store.Handle(1, Get(3, "k", 50), kNow).ok());
  EXPECT_EQ(store.NextDeadline(), kNow + absl::Milliseconds(50));
  EXPECT_TRUE(store.Expire(kNow + absl::Milliseconds(49)).empty());
  const auto replies = store.Expire(kNow + absl::Milliseconds(50));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].message["ok"], false);
  EXPECT_TRUE(store.Handle(0, Set("k", "01"), kNow)->empty());
}

TEST(RendezvousStore, ForgetsARankThatIsGone) {
  RendezvousStore store;
  ASSERT_TRUE(store.Handle(1, Get(3, "k", 50), kNow).ok());
  store.Forget(1);
  EXPECT_TRUE(store.Handle(0, Set("k", "01"), kNow)->empty());
}

TEST(RendezvousStore, RefusesMalformedRequests) {
  RendezvousStore store;
  const Json rows[] = {{{"kind", "store_pop"}, {"id", 1}, {"timeout_ms", 1}},
                       {{"kind", "store_set"}, {"key", "k"}},
                       Set("", "00"),
                       Set("k", "0"),
                       Set("k", "GG"),
                       Set(std::string(2000, 'k').c_str(), "00"),
                       {{"kind", "store_get"}, {"key", "k"}, {"timeout_ms", 1}},
                       {{"kind", "store_wait"}, {"id", 1}, {"keys", "k"}, {"timeout_ms", 1}},
                       {{"kind", "store_wait"}, {"id", 1}, {"keys", {1}}, {"timeout_ms", 1}}};
  for (const Json& row : rows) EXPECT_FALSE(store.Handle(0, row, kNow).ok()) << row;
}

}  // namespace
}  // namespace anamnesis::gang
