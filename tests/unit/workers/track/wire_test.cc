// SPDX-License-Identifier: Apache-2.0
#include "workers/track/wire.h"

#include <gtest/gtest.h>

namespace anamnesis::track {
namespace {

TEST(Wire, WritesTheBytesOfTheDefinition) {
  // The two examples of protobuf's description of the encoding.
  EXPECT_EQ(WireWriter().Int(1, 150).bytes(), "\x08\x96\x01");
  EXPECT_EQ(WireWriter().Bytes(2, "testing").bytes(), "\x12\x07testing");
  EXPECT_EQ(WireWriter().Float(2, 1.0f).bytes(), std::string("\x15\0\0\x80\x3f", 5));
  EXPECT_EQ(WireWriter().Int(1, -1).bytes(), "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  EXPECT_EQ(WireWriter().Text(1, "").bytes(), "");
}

TEST(Wire, ReadsWhatItWrote) {
  const std::string bytes =
      WireWriter().Int(3, INT64_MIN).Bytes(200, "x").Double(1, 2.5).Float(2, 1.5f).bytes();
  WireReader reader(bytes);
  WireReader::Field field;
  ASSERT_TRUE(reader.Next(&field));
  EXPECT_EQ(field.key, WireKey(3, kVarint));
  EXPECT_EQ(static_cast<int64_t>(field.number), INT64_MIN);
  ASSERT_TRUE(reader.Next(&field));
  EXPECT_EQ(field.key, WireKey(200, kBytes));
  EXPECT_EQ(field.bytes, "x");
  ASSERT_TRUE(reader.Next(&field));
  EXPECT_EQ(field.bytes.size(), 8u);
  ASSERT_TRUE(reader.Next(&field));
  EXPECT_EQ(field.bytes.size(), 4u);
  EXPECT_FALSE(reader.Next(&field));
}

TEST(Wire, StopsAtWhatIsTorn) {
  const std::string whole = WireWriter().Bytes(1, "abc").bytes();
  WireReader::Field field;
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(WireReader(whole.substr(0, size)).Next(&field)) << size;
  }
  EXPECT_FALSE(WireReader("\x0b").Next(&field));  // a group
  EXPECT_FALSE(WireReader("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").Next(&field));
}

}  // namespace
}  // namespace anamnesis::track
