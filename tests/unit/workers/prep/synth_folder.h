// SPDX-License-Identifier: Apache-2.0
// A temporary folder for synthetic cohorts, and what the tests of synth share.
#pragma once

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/io/file.h"
#include "common/io/json.h"
#include "gtest/gtest.h"
#include "tests/support/temporary_folder.h"
#include "workers/prep/synth.h"

namespace anamnesis::prep {

class SynthFolder {
 public:
  std::string Path(const std::string& name) const { return folder_.File(name); }

  // Makes the cohort `name`; the test fails where that fails.
  void Make(const std::string& name, SynthOptions options) const {
    options.out = Path(name);
    const StatusOr<std::string> summary = Synthesize(options);
    ASSERT_TRUE(summary.ok()) << summary.status();
  }

  Json Truth(const std::string& name) const { return *ReadJsonFile(Path(name) + "/truth.json"); }

  // SHA-256 of every file below `name`, by its path.
  std::map<std::string, std::string> Digests(const std::string& name) const {
    std::map<std::string, std::string> digests;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Path(name))) {
      if (!entry.is_regular_file()) continue;
      const std::string path = entry.path().string();
      digests[path.substr(Path(name).size())] = *FileSha256(path);
    }
    return digests;
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace anamnesis::prep
