// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::rpc {
namespace {

using ::testing::HasSubstr;

TEST(ParseAddress, TakesBothForms) {
  struct Row {
    std::string text, shown, target;
  };
  for (const Row& row :
       std::vector<Row>{{"unix:/run/a/s", "unix:/run/a/s", "unix:/run/a/s"},
                        {"unix:///run/a/s", "unix:/run/a/s", "unix:/run/a/s"},
                        {"unix:/run/a b%/../s", "unix:/run/s", "unix:/run/s"},
                        {"unix:/run/a b%/s", "unix:/run/a b%/s", "unix:/run/a%20b%25/s"},
                        {"127.0.0.1:7070", "127.0.0.1:7070", "127.0.0.1:7070"},
                        {"node-3.cluster:0", "node-3.cluster:0", "node-3.cluster:0"},
                        {"[::1]:65535", "[::1]:65535", "[::1]:65535"}}) {
    const StatusOr<Address> address = ParseAddress(row.text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->Text(), row.shown);
    EXPECT_EQ(address->GrpcTarget(), row.target);
    EXPECT_EQ(*ParseAddress(address->Text()), *address);
  }
  EXPECT_EQ(ParseAddress("unix:s")->unix_path.front(), '/');
}

TEST(ParseAddress, SaysWhatIsWrongAndWhatIsExpected) {
  for (const auto& [text, what] :
       std::vector<std::pair<std::string, std::string>>{{"", "is empty"},
                                                        {"unix:", "has no path"},
                                                        {"localhost", "has no port"},
                                                        {":7070", "has no host"},
                                                        {"a:", "has no port between"},
                                                        {"a:70700", "has no port between"},
                                                        {"a:-1", "has no port between"},
                                                        {"a:7x", "has no port between"},
                                                        {"::1:80", "brackets"},
                                                        {"http://a:80", "no valid host"},
                                                        {"a b:80", "no valid host"}}) {
    const Status status = ParseAddress(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(MessageOf(status), HasSubstr(what));
    EXPECT_THAT(MessageOf(status), HasSubstr("expected unix:PATH or HOST:PORT"));
  }
}

TEST(ParseAddress, RefusesAUnixPathThatTheSystemRefuses) {
  EXPECT_TRUE(ParseAddress("unix:/" + std::string(106, 'a')).ok());
  const Status status = ParseAddress("unix:/" + std::string(107, 'a')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("the path has 108 bytes, the system allows 107"));
}

TEST(IsLoopback, KnowsNamesAndNumbers) {
  for (const char* text : {"localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "unix:/s"}) {
    EXPECT_TRUE(IsLoopback(*ParseAddress(text))) << text;
  }
  for (const char* text : {"0.0.0.0:1", "127.example.org:1", "10.0.0.1:1"}) {
    EXPECT_FALSE(IsLoopback(*ParseAddress(text))) << text;
  }
}

}  // namespace
}  // namespace anamnesis::rpc
