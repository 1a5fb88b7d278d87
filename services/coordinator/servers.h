// SPDX-License-Identifier: Apache-2.0
// The gRPC servers of a coordinator: the public plane on its Unix socket and, where asked for, on
// TCP; the worker plane on a socket of its own and, where asked for, on TCP, where each worker
// proves itself by its token. With health and reflection.
#pragma once

#include <memory>
#include <string>

#include "services/coordinator/api.h"

namespace anamnesis::coordinator {

struct ServersOptions {
  std::string public_socket, worker_socket;  // paths
  std::string listen, worker_listen;         // HOST:PORT, or ""
  ApiOptions api;                            // its token is for `listen` alone
};

class Servers {
 public:
  // All outlive this.
  static StatusOr<std::unique_ptr<Servers>> Start(const ServersOptions& options, Loop& loop,
                                                  Board& board, store::Store& store,
                                                  SessionHub& sessions,
                                                  const launch::Launcher& launcher);
  ~Servers();

  // HOST:PORT with the port that was taken; "" without --listen.
  std::string tcp_address() const;
  // The same of the worker plane.
  std::string worker_tcp_address() const;
  // No new calls; those under way get `patience`. The loop has ended, or never ran: it is closed.
  void Shutdown(absl::Duration patience);

 private:
  struct Parts;
  explicit Servers(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace anamnesis::coordinator
