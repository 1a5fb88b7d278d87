// SPDX-License-Identifier: Apache-2.0
// A listening Unix socket whose peers must be this user: the kernel's word for the peer's uid is
// checked before a connection is handed on. One thread of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/io/file.h"

namespace anamnesis::coordinator {

class UnixListener {
 public:
  using OnConnection = std::function<void(FileDescriptor connection)>;

  // Binds `path` (a socket left there is replaced: the data directory's lock says nobody uses it;
  // mode 0600) and accepts from now on. kInvalidArgument: too long, or not to be bound.
  static StatusOr<std::unique_ptr<UnixListener>> Start(const std::string& path,
                                                       OnConnection on_connection);
  ~UnixListener();  // closes and removes the socket

 private:
  UnixListener(std::string path, FileDescriptor socket, FileDescriptor event,
               OnConnection on_connection);
  void Run();

  const std::string path_;
  const FileDescriptor socket_, event_;
  const OnConnection on_connection_;
  std::thread thread_;
};

}  // namespace anamnesis::coordinator
