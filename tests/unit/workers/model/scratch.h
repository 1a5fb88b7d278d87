// SPDX-License-Identifier: Apache-2.0
// A temporary directory of one test, removed with it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace anamnesis {

class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "anamnesis-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace anamnesis
