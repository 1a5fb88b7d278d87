// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/servers.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_posix.h>

#include <optional>

#include "common/rpc/address.h"
#include "services/coordinator/unix_listener.h"
#include "services/coordinator/worker_service.h"

namespace anamnesis::coordinator {
namespace {

void SetLimits(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(rpc::kMaxMessageBytes);
  builder->SetMaxSendMessageSize(rpc::kMaxMessageBytes);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              rpc::kKeepaliveMs / 2);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

// A TCP port of a server that is built afterwards.
class TcpPort {
 public:
  static StatusOr<TcpPort> Add(const char* flag, const std::string& listen,
                               grpc::ServerBuilder* builder) {
    TcpPort port;
    port.flag_ = flag;
    ANAM_ASSIGN_OR_RETURN(port.address_, rpc::ParseAddress(listen));
    builder->AddListeningPort(port.address_.GrpcTarget(), grpc::InsecureServerCredentials(),
                              port.number_.get());
    return port;
  }
  // HOST:PORT with the port that was taken, once the server is built.
  StatusOr<std::string> Address(const grpc::Server* server) const {
    if (server == nullptr || *number_ == 0) {
      return InvalidArgument(flag_, " ", address_.Text(),
                             ": cannot listen there: the address is in use or not this machine's");
    }
    rpc::Address address = address_;
    address.port = *number_;
    return address.Text();
  }

 private:
  const char* flag_ = "";
  rpc::Address address_;
  std::unique_ptr<int> number_ = std::make_unique<int>(0);
};

StatusOr<std::unique_ptr<UnixListener>> Listen(const std::string& path, grpc::Server* server) {
  return UnixListener::Start(path, [server](FileDescriptor connection) {
    grpc::AddInsecureChannelFromFd(server, connection.Release());
  });
}

}  // namespace

struct Servers::Parts {
  explicit Parts(Loop& the_loop) : loop(the_loop) {}
  ~Parts() { Shutdown(absl::ZeroDuration()); }
  void Shutdown(absl::Duration patience);

  Loop& loop;
  std::unique_ptr<Api> api, tcp_api;
  std::unique_ptr<WorkerServiceImpl> workers;
  std::unique_ptr<grpc::Server> public_server, worker_server, tcp_server;
  std::unique_ptr<UnixListener> public_listener, worker_listener;  // end before their servers
  std::string tcp_address, worker_tcp_address;
};

Servers::Servers(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Servers::~Servers() = default;
std::string Servers::tcp_address() const { return parts_->tcp_address; }
std::string Servers::worker_tcp_address() const { return parts_->worker_tcp_address; }

StatusOr<std::unique_ptr<Servers>> Servers::Start(const ServersOptions& options, Loop& loop,
                                                  Board& board, store::Store& store,
                                                  SessionHub& sessions,
                                                  const launch::Launcher& launcher) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto parts = std::make_unique<Parts>(loop);
  ApiOptions open = options.api;
  open.token.clear();
  parts->api = std::make_unique<Api>(open, loop, board, store, launcher);
  parts->workers = std::make_unique<WorkerServiceImpl>(loop, sessions);
  {
    grpc::ServerBuilder builder;
    SetLimits(&builder);
    parts->api->Register(&builder);
    parts->public_server = builder.BuildAndStart();
  }
  {
    grpc::ServerBuilder builder;
    SetLimits(&builder);
    builder.RegisterService(parts->workers.get());
    std::optional<TcpPort> port;
    if (!options.worker_listen.empty()) {
      ANAM_ASSIGN_OR_RETURN(port, TcpPort::Add("--worker-listen", options.worker_listen, &builder));
    }
    parts->worker_server = builder.BuildAndStart();
    if (port) {
      ANAM_ASSIGN_OR_RETURN(parts->worker_tcp_address, port->Address(parts->worker_server.get()));
    }
  }
  if (!options.listen.empty()) {
    parts->tcp_api = std::make_unique<Api>(options.api, loop, board, store, launcher);
    grpc::ServerBuilder builder;
    SetLimits(&builder);
    ANAM_ASSIGN_OR_RETURN(const TcpPort port, TcpPort::Add("--listen", options.listen, &builder));
    parts->tcp_api->Register(&builder);
    parts->tcp_server = builder.BuildAndStart();
    ANAM_ASSIGN_OR_RETURN(parts->tcp_address, port.Address(parts->tcp_server.get()));
  }
  ANAM_ASSIGN_OR_RETURN(parts->worker_listener,
                        Listen(options.worker_socket, parts->worker_server.get()));
  ANAM_ASSIGN_OR_RETURN(parts->public_listener,
                        Listen(options.public_socket, parts->public_server.get()));
  return std::unique_ptr<Servers>(new Servers(std::move(parts)));
}

void Servers::Shutdown(absl::Duration patience) { parts_->Shutdown(patience); }

void Servers::Parts::Shutdown(absl::Duration patience) {
  public_listener.reset();
  worker_listener.reset();
  loop.Close();  // a call that waits for the loop would never end, and its server neither
  const auto deadline = absl::ToChronoTime(absl::Now() + patience);
  for (const auto& server : {&public_server, &tcp_server, &worker_server}) {
    if (*server) (*server)->Shutdown(deadline);
    server->reset();
  }
}

}  // namespace anamnesis::coordinator
