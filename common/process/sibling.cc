// SPDX-License-Identifier: Apache-2.0
#include "common/process/sibling.h"

#include <filesystem>

#include "common/io/file.h"

namespace anamnesis {

StatusOr<std::string> SiblingProgram(const std::string& name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return Internal("cannot read /proc/self/exe: ", error.message());
  const std::string program = (self.parent_path() / name).string();
  if (!PathExists(program)) {
    return NotFound(name, " is not in ", self.parent_path().string(),
                    ": build it, or install the programs together");
  }
  return program;
}

}  // namespace anamnesis
