// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/object.h"

#include <gtest/gtest.h>

#include "services/launch/kubernetes/client.h"

namespace anamnesis::launch {
namespace {

TEST(Object, ReadsAlongAPathAndNothingBeside) {
  const Json object = Json::parse(R"({"a":{"b":"text","n":7,"f":true}})");
  EXPECT_EQ(TextAt(object, {"a", "b"}), "text");
  EXPECT_EQ(TextAt(object, {"a", "n"}), "");
  EXPECT_EQ(TextAt(object, {"a", "b", "c"}), "");
  EXPECT_EQ(NumberAt(object, {"a", "n"}), 7);
  EXPECT_EQ(NumberAt(object, {"a", "b"}), 0);
  EXPECT_TRUE(FlagAt(object, {"a", "f"}));
}

TEST(Object, OneLineBoundsWhatOthersWrote) {
  EXPECT_EQ(OneLine("a\n\tb\x01 "), "a b");
  EXPECT_EQ(OneLine("abcdef", 3), "abc...");
  EXPECT_EQ(OneLine("ab\xC3\xA4", 3), "ab...");
}

TEST(Object, QueryEscapesWhatIsNotUnreserved) {
  EXPECT_EQ(QueryEscaped("a/b=c,d e"), "a%2Fb%3Dc%2Cd%20e");
}

TEST(ApiAnswer, NamesItsProblemAndRepeatsTheServersWords) {
  const std::string body =
      R"({"kind":"Status","code":403,"reason":"Forbidden","message":"exceeded quota: gpus"})";
  const ApiAnswer forbidden{.status = 403, .body = body};
  EXPECT_EQ(forbidden.problem(), ApiProblem::kForbidden);
  EXPECT_EQ(forbidden.words(), "403: exceeded quota: gpus");
  EXPECT_EQ(ApiAnswer{.status = 201}.problem(), ApiProblem::kNone);
  EXPECT_EQ(ApiAnswer{.status = 422}.problem(), ApiProblem::kInvalid);
  EXPECT_EQ(ApiAnswer{.status = 429}.problem(), ApiProblem::kBusy);
  EXPECT_EQ(ApiAnswer{.status = 301}.problem(), ApiProblem::kServer);
  EXPECT_EQ((ApiAnswer{.error = "no connection"}).words(), "no connection");
  EXPECT_EQ((ApiAnswer{.status = 502, .body = "<html>\n"}).words(), "502: <html>");
}

}  // namespace
}  // namespace anamnesis::launch
