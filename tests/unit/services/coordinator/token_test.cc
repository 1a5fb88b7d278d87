// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/io/file.h"
#include "common/io/json.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::coordinator {
namespace {

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
}

TEST(Token, IsMadeOnceForLoopbackAndReadableForItsUserAlone) {
  const TemporaryFolder folder;
  const UpOptions options{.data_dir = folder.path(), .listen = "127.0.0.1:0"};
  const StatusOr<Token> made = TokenFor(options);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->value.size(), 64u);
  EXPECT_EQ(made->file, folder.File("token"));
  EXPECT_EQ(ModeOf(made->file), 0600u);
  EXPECT_EQ(TokenFor(options)->value, made->value);
  EXPECT_NE(NewToken(), NewToken());
}

TEST(Token, OtherMachinesAreLetInWithInsecureAlone) {
  const TemporaryFolder folder;
  UpOptions options{.data_dir = folder.path(), .listen = "0.0.0.0:7077"};
  EXPECT_EQ(TokenFor(options).status().code(), absl::StatusCode::kInvalidArgument);
  options.insecure = true;
  EXPECT_EQ(TokenFor(options)->value, "");
  EXPECT_FALSE(PathExists(folder.File("token")));
}

TEST(Token, AFileOfTheUsersMustBeSecretAndLongEnough) {
  const TemporaryFolder folder;
  UpOptions options{.data_dir = folder.path(),
                    .listen = "127.0.0.1:0",
                    .token_file = folder.Write("mine", "0123456789abcdef\r\n")};
  ::chmod(options.token_file.c_str(), 0640);
  EXPECT_EQ(TokenFor(options).status().code(), absl::StatusCode::kPermissionDenied);
  ::chmod(options.token_file.c_str(), 0600);
  EXPECT_EQ(TokenFor(options)->value, "0123456789abcdef");
  folder.Write("mine", "short\n");
  EXPECT_EQ(TokenFor(options).status().code(), absl::StatusCode::kInvalidArgument);
  options.token_file = folder.File("absent");
  EXPECT_EQ(TokenFor(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Token, TheNoteSaysWhereItIsAndNotWhatItIs) {
  const TemporaryFolder folder;
  ::setenv("XDG_CONFIG_HOME", folder.path().c_str(), 1);
  ASSERT_TRUE(NoteContext("127.0.0.1:7", {.value = "secret", .file = "/data/token"}).ok());
  ::unsetenv("XDG_CONFIG_HOME");
  const std::string path = folder.File("anamnesis/context.json");
  EXPECT_EQ(ModeOf(path), 0600u);
  const Json note = Json::parse(*ReadFile(path));
  EXPECT_EQ(note["address"], "127.0.0.1:7");
  EXPECT_EQ(note["token_file"], "/data/token");
  EXPECT_EQ(note.dump().find("secret"), std::string::npos);
}

}  // namespace
}  // namespace anamnesis::coordinator
