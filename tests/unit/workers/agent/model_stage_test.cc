// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/model_stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace anamnesis::agent {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(CheckModel, RefusesAFolderThatIsNoModel) {
  const TemporaryFolder folder;
  config::JobConfig config;
  config.model.model_name = folder.path();
  EXPECT_EQ(ExitCodeOf(CheckModel(config).status()), 6);
  std::ofstream(config.model.model_name + "/config.json") << R"({"model_type": "gpt2"})";
  const Status status = CheckModel(config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(MessageOf(status), AllOf(HasSubstr("gpt2"), HasSubstr("supported: llama, mistral")));
}

}  // namespace
}  // namespace anamnesis::agent
