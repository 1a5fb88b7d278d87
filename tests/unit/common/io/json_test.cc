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

TEST(ParseJson, RefusesANumberThatNoDoubleHolds) {
  EXPECT_EQ(MessageOf(ParseJson("{\"a\": 1e999}", "x").status()), "x: a number is out of range");
}

TEST(ParseJson, DepthIsBounded) {
  const auto nested = [](size_t depth) {
    return "{\"a\": " + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_TRUE(ParseJson(nested(256), "x").ok());
  EXPECT_EQ(MessageOf(ParseJson(nested(257), "x").status()), "x: nested deeper than 256 levels");
  EXPECT_FALSE(ParseJson(nested(1'000'000), "x").ok());
  const std::string text = "\"\\\"" + std::string(1000, '[') + "\"";  // brackets of a text
  EXPECT_TRUE(ParseJson(text, "x").ok());
}

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
