// SPDX-License-Identifier: Apache-2.0
#include "workers/contract/channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "common/base/philox.h"

namespace anamnesis::contract {
namespace {

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    left = FileDescriptor(ends[0]);
    right = FileDescriptor(ends[1]);
  }
  void Send(const std::string& bytes) {
    ASSERT_EQ(::write(left.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  FileDescriptor left, right;
};

TEST(Channel, DeliversMessagesInOrder) {
  Pair pair;
  ASSERT_TRUE(WriteFrame(pair.left.get(), {{"kind", "a"}, {"n", 1}}).ok());
  ASSERT_TRUE(WriteFrame(pair.left.get(), {{"kind", "b"}}).ok());
  EXPECT_EQ((*ReadFrame(pair.right.get()))["n"], 1);
  EXPECT_EQ((*ReadFrame(pair.right.get()))["kind"], "b");
}

TEST(Channel, DeliversAMessageLargerThanTheSocketsBuffer) {
  Pair pair;
  const std::string value(3 << 20, 'f');
  std::thread writer([&] {
    EXPECT_TRUE(WriteFrame(pair.left.get(), {{"kind", "a"}, {"v", value}}).ok());
  });
  const StatusOr<Json> message = ReadFrame(pair.right.get());
  writer.join();
  ASSERT_TRUE(message.ok());
  EXPECT_EQ((*message)["v"], value);
}

TEST(Channel, ReportsAPeerThatIsGone) {
  Pair pair;
  pair.left.Reset();
  EXPECT_EQ(ReadFrame(pair.right.get()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(WriteFrame(pair.right.get(), {{"kind", "a"}}).code(), absl::StatusCode::kUnavailable);
}

TEST(Channel, RefusesAMessageWithoutKind) {
  Pair pair;
  EXPECT_EQ(WriteFrame(pair.left.get(), Json::object()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(WriteFrame(pair.left.get(), Json(1)).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Channel, CallsBrokenBytesDataLoss) {
  const std::string rows[] = {std::string("\xff\xff\xff\xff", 4),        // a length above the limit
                              std::string("\x05\x00\x00\x00{\"a\"", 8),  // ends inside a frame
                              std::string("\x02\x00", 2),                // ends inside a length
                              std::string("\x02\x00\x00\x00{{", 6),      // not JSON
                              std::string("\x02\x00\x00\x00{}", 6),      // no kind
                              std::string("\x00\x00\x00\x00", 4)};       // empty
  for (const std::string& bytes : rows) {
    Pair pair;
    pair.Send(bytes);
    pair.left.Reset();
    EXPECT_EQ(ReadFrame(pair.right.get()).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(FrameBuffer, FindsFramesHoweverTheBytesAreCut) {
  std::string stream;
  for (int i = 0; i < 20; ++i) {
    stream += *EncodeFrame(
        {{"kind", "n"}, {"i", i}, {"pad", std::string(static_cast<size_t>(i * 7), 'x')}});
  }
  PhiloxStream random(1, 1);
  for (int round = 0; round < 50; ++round) {
    FrameBuffer buffer;
    int next = 0;
    for (size_t at = 0; at < stream.size();) {
      const size_t size = std::min<size_t>(stream.size() - at, 1 + random.Below(40));
      buffer.Append(std::string_view(stream).substr(at, size));
      at += size;
      for (auto message = buffer.Next(); message.ok() && message->has_value();
           message = buffer.Next()) {
        EXPECT_EQ((**message)["i"], next++);
      }
    }
    EXPECT_EQ(next, 20);
    EXPECT_TRUE(buffer.empty());
  }
}

TEST(FrameBuffer, SurvivesRandomBytes) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    PhiloxStream random(seed, 2);
    std::string bytes = *EncodeFrame({{"kind", "step"}, {"loss", 1.5}});
    for (int flips = 0; flips < 3; ++flips) {
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Below(256));
    }
    FrameBuffer buffer;
    buffer.Append(bytes);
    const auto message = buffer.Next();
    if (!message.ok()) {
      EXPECT_EQ(message.status().code(), absl::StatusCode::kDataLoss);
      EXPECT_EQ(buffer.Next().status().code(), absl::StatusCode::kDataLoss) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace anamnesis::contract
