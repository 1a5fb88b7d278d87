// SPDX-License-Identifier: Apache-2.0
// Plays every core/*.txt and compares what it prints. ANAMNESIS_REWRITE=1 writes what it printed
// into the file instead; the difference is then to be read.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/scenario/core_stage.h"

namespace anamnesis::scenario {
namespace {

namespace fs = std::filesystem;

fs::path Folder() {
  const char* source = std::getenv("ANAMNESIS_SOURCE_DIR");
  return fs::path(source == nullptr ? "." : source) / "tests/scenario/core";
}

std::vector<std::string> Scenarios() {
  std::vector<std::string> names;
  if (!fs::is_directory(Folder())) return names;
  for (const auto& entry : fs::directory_iterator(Folder())) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class CoreScenario : public testing::TestWithParam<std::string> {};

TEST_P(CoreScenario, PrintsWhatItsFileSays) {
  const fs::path path = Folder() / (GetParam() + ".txt");
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  std::vector<Block> blocks = ParseScript(text.str());
  ASSERT_FALSE(blocks.empty());
  const bool rewrite = std::getenv("ANAMNESIS_REWRITE") != nullptr;
  CoreStage stage;
  for (Block& block : blocks) {
    const std::string printed = stage.Play(block.commands);
    if (!rewrite) {
      EXPECT_EQ(printed, block.expected) << "after: " << block.commands.back();
    }
    block.expected = printed;
  }
  if (rewrite) std::ofstream(path) << FormatScript(blocks);
}

INSTANTIATE_TEST_SUITE_P(Core, CoreScenario, testing::ValuesIn(Scenarios()),
                         [](const auto& scenario) { return scenario.param; });

TEST(Scenarios, AreFound) { EXPECT_GE(Scenarios().size(), 20u); }

TEST(Script, SurvivesParsingAndFormatting) {
  const std::string text = "# words\n\ndo this\n----\nout\n\ndo that\n----\nmore\n";
  EXPECT_EQ(FormatScript(ParseScript(text)), text);
}

TEST(Script, CommandsHaveWordsAndValues) {
  const Command command = ParseCommand("fail a \"rank 1 = dead\" last=3");
  EXPECT_EQ(command.words, (std::vector<std::string>{"fail", "a", "rank 1 = dead"}));
  EXPECT_EQ(command.Number("last", 0), 3);
}

}  // namespace
}  // namespace anamnesis::scenario
