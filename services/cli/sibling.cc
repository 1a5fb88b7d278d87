// SPDX-License-Identifier: Apache-2.0
#include "services/cli/sibling.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace anamnesis::cli {

Status BecomeSibling(const std::string& name, const std::vector<std::string>& arguments) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return Internal("cannot read /proc/self/exe: ", error.message());
  const std::string program = (self.parent_path() / name).string();
  std::vector<std::string> words = {program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // Threads of a product that wait sleep, as in a rank (RankEnvironment): spinning ones take the
  // cores of whatever else runs here. OpenMP reads this once, when the program is loaded.
  ::setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
  ::execv(program.c_str(), argv.data());
  if (errno == ENOENT) {
    return NotFound(name, " is not in ", self.parent_path().string(),
                    ": build it, or install the programs together");
  }
  return Internal(program, ": cannot run: ", ErrnoText(errno));
}

}  // namespace anamnesis::cli
