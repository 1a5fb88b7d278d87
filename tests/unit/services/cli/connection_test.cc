// SPDX-License-Identifier: Apache-2.0
// Where the coordinator is: flag, environment, context file, default; and which token goes there.
#include "services/cli/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "tests/support/temporary_folder.h"

namespace anamnesis::cli {
namespace {

using ::testing::HasSubstr;

class Surroundings {
 public:
  Surroundings() {
    std::filesystem::create_directories(folder_.File("anamnesis"));
    Set("XDG_CONFIG_HOME", folder_.path());
  }
  void Set(const std::string& name, const std::string& value) { values_[name] = value; }
  std::string WriteFile(const std::string& name, const std::string& text, int mode = 0600) {
    const std::string path = folder_.Write(name, text);
    std::filesystem::permissions(path, static_cast<std::filesystem::perms>(mode));
    return path;
  }
  void WriteContext(const std::string& address, const std::string& token_file) {
    WriteFile("anamnesis/context.json",
              Cat(R"({"address":")", address, R"(","token_file":")", token_file, R"("})"));
  }
  StatusOr<Connection> Resolve(const std::string& flag = "") const {
    return ResolveConnection(flag, [this](const char* name) -> std::optional<std::string> {
      const auto value = values_.find(name);
      return value == values_.end() ? std::nullopt : std::optional(value->second);
    });
  }

 private:
  TemporaryFolder folder_;
  std::map<std::string, std::string> values_;
};

TEST(ResolveConnection, FlagBeforeEnvironmentBeforeContextBeforeDefault) {
  ::setenv("ANAMNESIS_DATA_DIR", "/data", 1);
  Surroundings here;
  EXPECT_EQ(here.Resolve()->address.Text(), "unix:/data/s");
  here.WriteContext("unix:/context/s", "");
  EXPECT_EQ(here.Resolve()->address.Text(), "unix:/context/s");
  EXPECT_THAT(here.Resolve()->source, HasSubstr("context.json"));
  here.Set("ANAMNESIS_COORDINATOR", "unix:/environment/s");
  EXPECT_EQ(here.Resolve()->address.Text(), "unix:/environment/s");
  EXPECT_EQ(here.Resolve("unix:/flag/s")->address.Text(), "unix:/flag/s");
  ::unsetenv("ANAMNESIS_DATA_DIR");
}

TEST(ResolveConnection, TheTokenGoesToItsAddressOnly) {
  Surroundings here;
  here.WriteContext("127.0.0.1:7070", here.WriteFile("token", "secret-1\n"));
  EXPECT_EQ(here.Resolve()->token, "secret-1");
  EXPECT_EQ(here.Resolve("127.0.0.1:7070")->token, "secret-1");
  EXPECT_EQ(here.Resolve("127.0.0.1:7071")->token, "");
  EXPECT_EQ(here.Resolve("unix:/s")->token, "");
  here.Set("ANAMNESIS_TOKEN_FILE", here.WriteFile("other", "secret-2"));
  EXPECT_EQ(here.Resolve()->token, "secret-2");
  EXPECT_EQ(here.Resolve("127.0.0.1:7071")->token, "secret-2");
}

TEST(ResolveConnection, RefusesATokenThatOthersRead) {
  Surroundings here;
  here.WriteContext("127.0.0.1:7070", here.WriteFile("token", "secret", 0644));
  EXPECT_EQ(here.Resolve().status().code(), absl::StatusCode::kPermissionDenied);
  here.WriteContext("127.0.0.1:7070", here.WriteFile("token", "two words"));
  EXPECT_EQ(here.Resolve().status().code(), absl::StatusCode::kInvalidArgument);
  here.WriteContext("127.0.0.1:7070", "/nowhere/token");
  EXPECT_THAT(MessageOf(here.Resolve().status()), HasSubstr("/nowhere/token"));
}

TEST(ResolveConnection, ABrokenContextMattersOnlyWhereItIsUsed) {
  Surroundings here;
  here.WriteFile("anamnesis/context.json", "{");
  EXPECT_FALSE(here.Resolve().ok());
  EXPECT_TRUE(here.Resolve("127.0.0.1:7070").ok());
  here.Set("ANAMNESIS_COORDINATOR", "nonsense");
  EXPECT_THAT(MessageOf(here.Resolve().status()),
              HasSubstr("$ANAMNESIS_COORDINATOR: address 'nonsense'"));
}

}  // namespace
}  // namespace anamnesis::cli
