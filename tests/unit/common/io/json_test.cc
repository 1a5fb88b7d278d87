// SPDX-License-Identifier: Apache-2.0
#include "common/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace anamnesis {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ParseJson, NamesTheSourceAndTheByteButNeverQuotesTheText) {
  const Status status = ParseJson("{\"a\": secret}", "plan.json").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("plan.json: not valid JSON at byte 7"));
  EXPECT_THAT(MessageOf(status), Not(HasSubstr("secret")));
}

TEST(ParseJson, RefusesTextThatEndsEarly) { EXPECT_FALSE(ParseJson("[1, 2", "x").ok()); }

TEST(JsonMembers, AreReadWithTheirType) {
  const Json object = {{"s", "text"}, {"i", 7}, {"d", 1.5}, {"b", true}};
  EXPECT_EQ(*JsonString(object, "s", "x"), "text");
  EXPECT_EQ(*JsonInt(object, "i", "x"), 7);
  EXPECT_EQ(*JsonNumber(object, "d", "x"), 1.5);
  EXPECT_EQ(*JsonNumber(object, "i", "x"), 7.0);
  EXPECT_TRUE(*JsonBool(object, "b", "x"));
}

TEST(JsonMembers, SayWhatWasFoundInstead) {
  EXPECT_EQ(MessageOf(JsonInt({{"i", "seven"}}, "i", "x").status()),
            "x: key 'i': expected an integer, found string");
  EXPECT_EQ(MessageOf(JsonInt(Json::object(), "i", "x").status()), "x: key 'i' is missing");
  EXPECT_EQ(MessageOf(JsonInt(Json(3), "i", "x").status()), "x: expected a JSON object");
}

TEST(ReadJsonFile, ReadsAFile) {
  const TemporaryFolder folder;
  EXPECT_EQ((*ReadJsonFile(folder.Write("a.json", "{\"a\": [1]}")))["a"][0], 1);
}

}  // namespace
}  // namespace anamnesis
