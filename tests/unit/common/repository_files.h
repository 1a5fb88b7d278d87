// SPDX-License-Identifier: Apache-2.0
// Files of the repository, as tests read them.
#pragma once

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace anamnesis::testing {

// The whole file, or "" where it cannot be read.
inline std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline std::string SourceFile(const std::string& name) {
  const char* root = std::getenv("ANAMNESIS_SOURCE_DIR");
  return std::string(root == nullptr ? "." : root) + "/" + name;
}

}  // namespace anamnesis::testing
