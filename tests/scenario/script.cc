// SPDX-License-Identifier: Apache-2.0
#include "tests/scenario/script.h"

#include <sstream>

namespace anamnesis::scenario {

std::vector<Block> ParseScript(const std::string& text) {
  std::vector<Block> blocks(1);
  bool in_output = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!in_output) {
      if (line == "----") {
        in_output = true;
      } else {
        blocks.back().commands.push_back(line);
      }
    } else if (line.empty()) {
      blocks.emplace_back();
      in_output = false;
    } else {
      blocks.back().expected += line + "\n";
    }
  }
  // What stands after the last output: an empty line, or commands whose ---- was forgotten.
  if (!in_output && blocks.back().commands.empty()) blocks.pop_back();
  return blocks;
}

std::string FormatScript(const std::vector<Block>& blocks) {
  std::string text;
  for (const Block& block : blocks) {
    if (!text.empty()) text += "\n";
    for (const std::string& command : block.commands) text += command + "\n";
    text += "----\n" + block.expected;
  }
  return text;
}

std::string Command::Word(size_t index, const std::string& otherwise) const {
  return index < words.size() ? words[index] : otherwise;
}

std::string Command::Value(const std::string& key, const std::string& otherwise) const {
  const auto found = values.find(key);
  return found == values.end() ? otherwise : found->second;
}

int64_t Command::Number(const std::string& key, int64_t otherwise) const {
  const auto found = values.find(key);
  return found == values.end() ? otherwise : std::stoll(found->second);
}

Command ParseCommand(const std::string& line) {
  Command command;
  if (line.empty() || line[0] == '#') return command;
  std::string word, key;
  bool quoted = false, was_quoted = false;
  const auto finish = [&] {
    if (!key.empty()) {
      command.values[key] = word;
    } else if (!word.empty() || was_quoted) {
      command.words.push_back(word);
    }
    word.clear();
    key.clear();
    was_quoted = false;
  };
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
      was_quoted = true;
    } else if (c == ' ' && !quoted) {
      finish();
    } else if (c == '=' && !quoted && key.empty()) {
      key.swap(word);
    } else {
      word += c;
    }
  }
  finish();
  return command;
}

}  // namespace anamnesis::scenario
