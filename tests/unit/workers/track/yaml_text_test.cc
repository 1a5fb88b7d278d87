// SPDX-License-Identifier: Apache-2.0
#include "workers/track/yaml_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace anamnesis::track {
namespace {

TEST(YamlText, GivesFloatsAPoint) {
  EXPECT_EQ(YamlText(2e-5), "2.0e-05");
  EXPECT_EQ(YamlText(2.5e-5), "2.5e-05");
  EXPECT_EQ(YamlText(1.0), "1.0");
  EXPECT_EQ(YamlText(7), "7");
  EXPECT_EQ(YamlText(-std::numeric_limits<double>::infinity()), "-.inf");
}

TEST(YamlText, QuotesEveryText) {
  EXPECT_EQ(YamlText("no: yes # \"x\"\n"), R"("no: yes # \"x\"\n")");
  EXPECT_EQ(YamlText("caf\xc3\xa9"), R"("caf\u00e9")");
}

TEST(YamlText, WritesNestedValuesOnOneLine) {
  EXPECT_EQ(YamlText({{"a", {1, nullptr, true}}, {"b", Json::object()}}),
            R"({"a": [1, null, true], "b": {}})");
}

}  // namespace
}  // namespace anamnesis::track
