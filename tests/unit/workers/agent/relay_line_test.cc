// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/relay_line.h"

#include <gtest/gtest.h>

#include <random>

namespace anamnesis::agent {
namespace {

v1::Relay Bytes(int rank) {
  v1::Relay relay;
  relay.mutable_bytes()->set_rank(rank);
  return relay;
}

std::vector<v1::Relay> Due(RelayLine& line) {
  std::vector<v1::Relay> due;
  line.TakeDue(&due);
  return due;
}

TEST(RelayLine, MessagesAreNumberedAndSentOnce) {
  RelayLine line(3);
  line.Put(Bytes(7));
  line.Put(Bytes(8));
  const auto due = Due(line);
  ASSERT_EQ(due.size(), 2u);
  EXPECT_EQ(due[0].node(), 3);
  EXPECT_EQ(due[0].sequence(), 1);
  EXPECT_EQ(due[1].sequence(), 2);
  EXPECT_EQ(due[1].bytes().rank(), 8);
  EXPECT_TRUE(Due(line).empty());
}

TEST(RelayLine, WhatIsNotAcknowledgedIsSentAgain) {
  RelayLine line(0);
  for (int rank = 0; rank < 3; ++rank) line.Put(Bytes(rank));
  Due(line);
  v1::Relay other;
  other.set_acknowledged(2);
  EXPECT_FALSE(line.Receive(other));  // it has no content
  line.SendAgain();
  const auto due = Due(line);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].sequence(), 3);
}

TEST(RelayLine, AReceivedMessageIsAcknowledgedAlone) {
  RelayLine sender(1), receiver(0);
  sender.Put(Bytes(0));
  EXPECT_TRUE(receiver.Receive(Due(sender)[0]));
  const auto due = Due(receiver);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].sequence(), 0);
  EXPECT_EQ(due[0].acknowledged(), 1);
  EXPECT_TRUE(Due(receiver).empty());
}

TEST(RelayLine, OverAWireThatLosesAndBreaksEverythingComesOnceAndInOrder) {
  std::mt19937 rng(7);
  RelayLine here(1), there(0);
  int put = 0, expected = 0;
  for (int turn = 0; turn < 20'000; ++turn) {
    if (put < 2000 && rng() % 3 == 0) here.Put(Bytes(put++));
    if (rng() % 50 == 0) here.SendAgain(), there.SendAgain();
    for (const v1::Relay& relay : Due(here)) {
      if (rng() % 10 == 0) break;  // the session broke: this and what follows is lost
      if (there.Receive(relay)) {
        EXPECT_EQ(relay.bytes().rank(), expected++);
      }
    }
    for (const v1::Relay& relay : Due(there)) {
      if (rng() % 10 != 0) here.Receive(relay);
    }
  }
  EXPECT_EQ(put, 2000);
  EXPECT_EQ(expected, 2000);
}

}  // namespace
}  // namespace anamnesis::agent
