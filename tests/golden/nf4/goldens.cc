// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/nf4/goldens.h"

#include <gtest/gtest.h>

#include <iostream>

#include "tests/golden/oracle.h"
#include "workers/model/weights.h"

namespace anamnesis::golden {

const std::string& Nf4Directory() {
  static const std::string directory = [] {
    const std::string path = ScratchDirectory("nf4");
    int status = 0;
    const std::string output = RunOracle("nf4/make_nf4.py", path, &status);
    if (status == 0) return path;
    std::cerr << output;
    return std::string();
  }();
  return directory;
}

Tensors Nf4Tensors(const std::string& file) {
  Tensors out;
  auto opened = model::SafetensorsFile::Open(Nf4Directory() + "/" + file);
  EXPECT_TRUE(opened.ok()) << opened.status();
  if (!opened.ok()) return out;
  for (const model::StoredTensor& stored : opened->tensors()) {
    out[stored.name] = model::ReadTensor(*opened, stored).value();
  }
  return out;
}

}  // namespace anamnesis::golden
