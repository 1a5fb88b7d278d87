// SPDX-License-Identifier: Apache-2.0
#include "common/hub/model_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_folder.h"

namespace anamnesis::hub {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ResolveModelDirectoryTest : public ::testing::Test {
 protected:
  ResolveModelDirectoryTest() {
    ::unsetenv("HF_HUB_CACHE");
    ::setenv("HF_HOME", root_.c_str(), 1);
  }
  ~ResolveModelDirectoryTest() override { ::unsetenv("HF_HOME"); }

  const TemporaryFolder folder_;
  const std::string root_ = folder_.path();
};

TEST_F(ResolveModelDirectoryTest, TakesADirectoryFirst) {
  EXPECT_EQ(*ResolveModelDirectory(root_ + "/./", ""), fs::canonical(root_).string());
}

TEST_F(ResolveModelDirectoryTest, FindsASnapshotOfTheCache) {
  const fs::path base = fs::path(root_) / "hub/models--org--tiny";
  fs::create_directories(base / "snapshots/abc");
  fs::create_directories(base / "refs");
  std::ofstream(base / "refs/main") << "abc\n";
  std::ofstream(base / "snapshots/abc/config.json") << "{}";
  EXPECT_EQ(ExitCodeOf(ResolveModelDirectory("org/tiny", "").status()), 6);  // not whole
  std::ofstream(base / "snapshots/abc/model.safetensors") << "";
  EXPECT_EQ(*ResolveModelDirectory("org/tiny", ""), (base / "snapshots/abc").string());
  EXPECT_EQ(*ResolveModelDirectory("org/tiny", "abc"), (base / "snapshots/abc").string());
  EXPECT_EQ(ExitCodeOf(ResolveModelDirectory("org/tiny", "v2").status()), 6);
}

TEST_F(ResolveModelDirectoryTest, SaysWhatIsMissing) {
  const Status status = ResolveModelDirectory("org/absent", "").status();
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_THAT(MessageOf(status), HasSubstr("models--org--absent"));
  EXPECT_THAT(MessageOf(status), HasSubstr("downloads are not allowed (hub: deny)"));
  EXPECT_THAT(MessageOf(status), HasSubstr("anamnesis pull org/absent"));
}

TEST_F(ResolveModelDirectoryTest, OfflineNothingIsAskedFor) {
  ::setenv("HF_HUB_OFFLINE", "1", 1);
  const Status status = ResolveModelDirectory("org/absent", "v1", {.allowed = true}).status();
  ::unsetenv("HF_HUB_OFFLINE");
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_THAT(MessageOf(status), HasSubstr("HF_HUB_OFFLINE is set"));
  EXPECT_THAT(MessageOf(status), HasSubstr("anamnesis pull org/absent --revision v1"));
}

TEST_F(ResolveModelDirectoryTest, APathThatIsNotThereIsNoNameOfTheHub) {
  const Status status = ResolveModelDirectory("/no/such/folder", "", {.allowed = true}).status();
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_THAT(MessageOf(status), HasSubstr("no name of the hub"));
}

}  // namespace
}  // namespace anamnesis::hub
