// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/unix_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <future>

#include "tests/support/temporary_folder.h"

namespace anamnesis::coordinator {
namespace {

FileDescriptor Connect(const std::string& path) {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    socket.Reset();
  }
  return socket;
}

TEST(UnixListener, AConnectionOfThisUserArrives) {
  const TemporaryFolder folder;
  std::promise<FileDescriptor> arrived;
  const auto listener = UnixListener::Start(
      folder.File("s"), [&](FileDescriptor fd) { arrived.set_value(std::move(fd)); });
  ASSERT_TRUE(listener.ok()) << listener.status();
  const FileDescriptor client = Connect(folder.File("s"));
  ASSERT_TRUE(client.valid());
  const FileDescriptor server = arrived.get_future().get();
  ASSERT_EQ(::write(server.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(client.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST(UnixListener, TheSocketIsTheUsersAloneAndGoesWithIt) {
  const TemporaryFolder folder;
  {
    const auto listener = UnixListener::Start(folder.File("s"), [](FileDescriptor) {});
    ASSERT_TRUE(listener.ok());
    struct stat info {};
    ASSERT_EQ(::stat(folder.File("s").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
  EXPECT_FALSE(PathExists(folder.File("s")));
}

TEST(UnixListener, ASocketThatWasLeftThereIsReplaced) {
  const TemporaryFolder folder;
  std::promise<void> arrived;
  {
    const FileDescriptor left(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    folder.File("s").copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(left.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  const auto listener =
      UnixListener::Start(folder.File("s"), [&](FileDescriptor) { arrived.set_value(); });
  ASSERT_TRUE(listener.ok());
  EXPECT_TRUE(Connect(folder.File("s")).valid());
  arrived.get_future().get();
}

TEST(UnixListener, APathThatIsTooLongOrNotThereIsNamed) {
  const TemporaryFolder folder;
  const std::string too_long = folder.File(std::string(120, 'x'));
  const Status refused = UnixListener::Start(too_long, [](FileDescriptor) {}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(refused),
              ::testing::AllOf(::testing::HasSubstr(too_long), ::testing::HasSubstr("--data-dir")));
  EXPECT_EQ(UnixListener::Start(folder.File("no/s"), [](FileDescriptor) {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace anamnesis::coordinator
