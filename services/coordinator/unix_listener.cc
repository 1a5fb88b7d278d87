// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/unix_listener.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

namespace anamnesis::coordinator {
namespace {

bool IsThisUser(int connection) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

}  // namespace

StatusOr<std::unique_ptr<UnixListener>> UnixListener::Start(const std::string& path,
                                                            OnConnection on_connection) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return InvalidArgument(path, ": a Unix socket's path has at most ", sizeof address.sun_path - 1,
                           " bytes, this one ", path.size(), "; choose a shorter --data-dir");
  }
  path.copy(address.sun_path, path.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  FileDescriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!socket.valid() || !event.valid()) return ResourceExhausted("socket: ", ErrnoText(errno));
  ::unlink(path.c_str());
  const mode_t mask = ::umask(0177);
  const int bound = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  ::umask(mask);
  if (bound != 0 || ::listen(socket.get(), 512) != 0) {
    return InvalidArgument(path, ": cannot listen: ", ErrnoText(errno));
  }
  return std::unique_ptr<UnixListener>(
      new UnixListener(path, std::move(socket), std::move(event), std::move(on_connection)));
}

UnixListener::UnixListener(std::string path, FileDescriptor socket, FileDescriptor event,
                           OnConnection on_connection)
    : path_(std::move(path)),
      socket_(std::move(socket)),
      event_(std::move(event)),
      on_connection_(std::move(on_connection)) {
  thread_ = std::thread([this] { Run(); });
  ::pthread_setname_np(thread_.native_handle(), "accept");
}

UnixListener::~UnixListener() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
  thread_.join();
  ::unlink(path_.c_str());
}

void UnixListener::Run() {
  for (;;) {
    pollfd fds[] = {{socket_.get(), POLLIN, 0}, {event_.get(), POLLIN, 0}};
    ::poll(fds, 2, -1);
    if (fds[1].revents != 0) return;
    FileDescriptor connection(
        ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.valid()) {
      if (errno == EMFILE || errno == ENFILE) ::poll(&fds[1], 1, 100);  // until some are closed
      continue;
    }
    if (IsThisUser(connection.get())) on_connection_(std::move(connection));
  }
}

}  // namespace anamnesis::coordinator
