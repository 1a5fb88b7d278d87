// SPDX-License-Identifier: Apache-2.0
#include "common/config/yaml_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temporary_folder.h"

namespace anamnesis::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string YamlErrorOf(const std::string& text) {
  const Status status = ParseYaml(text, "a.yaml").status();
  return status.code() == absl::StatusCode::kInvalidArgument ? MessageOf(status) : "no error";
}

TEST(ParseYaml, KeepsLinesAndColumns) {
  const auto root = ParseYaml("a:\n  b: [x, \"y\"]\n", "a.yaml");
  const YamlNode& b = root->items[0];
  EXPECT_EQ(b.keys[0].line, 2);
  EXPECT_EQ(b.keys[0].column, 3);
  const YamlNode& list = b.items[0];
  EXPECT_EQ(list.items[1].column, 10);
  EXPECT_EQ(list.items[1].text, "y");
  EXPECT_TRUE(list.items[1].quoted);
  EXPECT_FALSE(list.items[0].quoted);
}

TEST(ParseYaml, NothingIsANullNode) {
  EXPECT_EQ(ParseYaml("", "a.yaml")->kind, YamlNode::Kind::kNull);
  EXPECT_EQ(ParseYaml("# only a comment\n", "a.yaml")->kind, YamlNode::Kind::kNull);
}

TEST(ParseYaml, AcceptsAByteOrderMarkAndWindowsLines) {
  const auto root = ParseYaml(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: 2\r\n",
      "a.yaml");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->keys[1].text, "b");
  EXPECT_EQ(root->items[1].text, "2");
}

TEST(ParseYaml, PlacesASyntaxError) {
  EXPECT_THAT(YamlErrorOf("a: 1\nb: [1, 2\nc: 3\n"), StartsWith("a.yaml:3:"));
  EXPECT_THAT(YamlErrorOf("a: 1\nb: 'open\nc: 2\n"), HasSubstr("a.yaml:2:4: the quotation"));
  EXPECT_THAT(YamlErrorOf("a: \"open"), HasSubstr("a.yaml:1:4: the quotation"));
  EXPECT_THAT(YamlErrorOf("a: 1\n\tb: 2\n"), StartsWith("a.yaml:2:"));
}

TEST(ParseYaml, PlacesTextThatIsNotUtf8) {
  EXPECT_THAT(YamlErrorOf("a: 1\nb: \xff\n"), HasSubstr("a.yaml:2:4: byte 8 is not valid UTF-8"));
  for (const char* bad : {"\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"}) {
    EXPECT_THAT(YamlErrorOf(bad), HasSubstr("not valid UTF-8"));
  }
  EXPECT_TRUE(ParseYaml("a: \xE2\x82\xAC\n", "a.yaml").ok());
}

TEST(ParseYaml, RefusesControlCharacters) {
  EXPECT_THAT(YamlErrorOf(std::string("a: \x04 b", 7)), HasSubstr("control character"));
  EXPECT_THAT(YamlErrorOf(std::string("a\0b", 3)), HasSubstr("control character"));
}

TEST(ParseYaml, KeepsTheLastTextAsItIs) {
  EXPECT_EQ(ParseYaml("a: last words", "a.yaml")->items[0].text, "last words");
  EXPECT_EQ(ParseYaml("a: |\n  one\n  two", "a.yaml")->items[0].text, "one\ntwo\n");
  EXPECT_EQ(ParseYaml("a: 'x'", "a.yaml")->items[0].text, "x");
}

TEST(ParseYaml, RefusesTagsAndSecondDocuments) {
  EXPECT_THAT(YamlErrorOf("a: !!python/object:os.system x\n"), HasSubstr("tags are not supported"));
  EXPECT_THAT(YamlErrorOf("a: 1\n---\nb: 2\n"), HasSubstr("more than one YAML document"));
}

TEST(ParseYaml, CopiesAliases) {
  const auto root = ParseYaml("a: &x [1, 2]\nb: *x\n", "a.yaml");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->items[1].items.size(), 2U);
  EXPECT_EQ(root->items[1].line, 2);
}

TEST(ParseYaml, RefusesAliasesToNothingAndToThemselves) {
  EXPECT_THAT(YamlErrorOf("a: *x\n"), StartsWith("a.yaml:1:"));
  EXPECT_THAT(YamlErrorOf("a: &x [*x]\n"), HasSubstr("part of"));
}

TEST(ParseYaml, AnAliasBombIsBounded) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string last = Cat("*a", i - 1);
    text += Cat("a", i, ": &a", i, " [", last);
    for (int j = 1; j < 10; ++j) text += ", " + last;
    text += "]\n";
  }
  EXPECT_THAT(YamlErrorOf(text), HasSubstr("more than 20000 values"));
}

TEST(ParseYaml, ALongTextIsNotRepeatedByAliases) {
  std::string text = "a: &a [" + std::string(100'000, 'x') + "]\nb: [*a";
  for (int i = 0; i < 1000; ++i) text += ", *a";
  EXPECT_THAT(YamlErrorOf(text + "]\n"), HasSubstr("more than 1048576 bytes of text"));
}

TEST(ParseYaml, DepthIsBounded) {
  EXPECT_TRUE(ParseYaml(std::string(20, '[') + std::string(20, ']'), "a.yaml").ok());
  EXPECT_THAT(YamlErrorOf(std::string(40, '[') + std::string(40, ']')), HasSubstr("nested deeper"));
  EXPECT_NE(YamlErrorOf(std::string(100'000, '[')), "no error");
  std::string aliases = "a0: &a0 [x]\n";
  for (int i = 1; i < 60; ++i) aliases += Cat("a", i, ": &a", i, " [*a", i - 1, "]\n");
  EXPECT_THAT(YamlErrorOf(aliases), HasSubstr("nested deeper"));
}

TEST(ReadYamlFile, RefusesWhatIsNoSmallRegularFile) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& path) {
    return MessageOf(ReadYamlFile(path).status());
  };
  EXPECT_THAT(error(folder.path()), HasSubstr("is a folder"));
  EXPECT_THAT(error(folder.File("none.yaml")), HasSubstr("none.yaml: cannot open: No such file"));
  EXPECT_THAT(error("/dev/zero"), HasSubstr("is no regular file"));
  ASSERT_EQ(::mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_THAT(error(folder.File("pipe")), HasSubstr("is no regular file"));
  const std::string huge = folder.Write("huge.yaml", std::string(2 << 20, '#'));
  EXPECT_THAT(error(huge), HasSubstr("has 2097152 bytes, more than 1048576"));
}

TEST(Shorten, KeepsAnErrorOnOneShortLine) {
  EXPECT_EQ(Shorten("a\nb\x1b"), "a?b?");
  EXPECT_LT(Shorten(std::string(1000, 'x')).size(), 70U);
}

}  // namespace
}  // namespace anamnesis::config
