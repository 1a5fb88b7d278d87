// SPDX-License-Identifier: Apache-2.0
// The file format of scenarios: blocks of command lines, `----`, the lines that they print, an
// empty line. `#` begins a comment line. A command is words: bare ones in order, and KEY=VALUE;
// double quotes hold spaces.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::scenario {

struct Block {
  std::vector<std::string> commands;  // with comments and empty lines between them, as written
  std::string expected;
};

std::vector<Block> ParseScript(const std::string& text);
std::string FormatScript(const std::vector<Block>& blocks);

struct Command {
  std::vector<std::string> words;  // the first is the command's name
  std::map<std::string, std::string> values;

  std::string Word(size_t index, const std::string& otherwise = "") const;
  std::string Value(const std::string& key, const std::string& otherwise = "") const;
  int64_t Number(const std::string& key, int64_t otherwise) const;
};

// Empty words for a comment or an empty line.
Command ParseCommand(const std::string& line);

}  // namespace anamnesis::scenario
