// SPDX-License-Identifier: Apache-2.0
// A rank without training, for tests of the gang: `echo_rank RANK ACTION… --channel-fd N` does its
// actions in order.
// clang-format off
//   steps:N    sends N step reports                done        sends done and exits 0
//   exit:C     exits with code C                   kill:S      kills itself with signal S
//   error:TEXT reports kInternal, exits 1          peer_error  reports kUnavailable, exits 1
//   hang       waits until the channel closes      stubborn    ignores the channel and waits for ever
//   stopped    stops itself (SIGSTOP)              await_stop  waits for `stop`, sends done, exits 130
//   set:K=V    store_set (V is hex)                get:K=V     store_get, exits 21 unless the value is V
//   wait:K:MS  store_wait, exits 22 unless the time is over
//   commit:N   asks, exits 23 when refused         rejoin      reports a lost peer, waits for `rejoin`
//   garbage    writes bytes that are no frame      bad_kind    sends an unknown message
//   env:K=V    exits 24 unless the environment has it          no_env:K  exits 25 when it is set
//   fds:N      exits 26 unless N descriptors are open
// clang-format on
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "workers/contract/channel.h"
#include "workers/contract/report.h"

namespace anamnesis {
namespace {

class EchoRank {
 public:
  EchoRank(int rank, int fd) : rank_(rank), fd_(fd) {}

  void Do(const std::string& action) {
    const size_t colon = action.find(':');
    const std::string verb = action.substr(0, colon);
    const std::string argument = colon == std::string::npos ? "" : action.substr(colon + 1);
    if (Talk(verb, argument) || End(verb, argument) || Look(verb, argument)) return;
    ::_exit(99);
  }

 private:
  void Send(const Json& message) {
    if (!contract::WriteFrame(fd_, message).ok()) ::_exit(7);
  }

  // The next message; a closed channel ends the process, as in a real rank.
  Json Receive() {
    StatusOr<Json> message = contract::ReadFrame(fd_);
    if (!message.ok()) ::_exit(7);
    return *std::move(message);
  }

  bool Talk(const std::string& verb, const std::string& argument) {
    if (verb == "steps") {
      for (int i = std::stoi(argument); i > 0; --i) {
        contract::StepReport report{.step = ++step_, .loss = 1.0, .tokens = 5, .global_tokens = 10};
        report.seconds = 0.001;
        Send(contract::ToJson(report));
      }
    } else if (verb == "set") {
      const size_t equals = argument.find('=');
      Send({{"kind", "store_set"},
            {"key", argument.substr(0, equals)},
            {"value", argument.substr(equals + 1)}});
    } else if (verb == "get") {
      const size_t equals = argument.find('=');
      Send({{"kind", "store_get"},
            {"id", ++id_},
            {"key", argument.substr(0, equals)},
            {"timeout_ms", 60000}});
      const Json reply = Receive();
      if (reply["id"] != id_ || reply["ok"] != true ||
          reply["value"] != argument.substr(equals + 1))
        ::_exit(21);
    } else if (verb == "wait") {
      const size_t second = argument.find(':');
      Send({{"kind", "store_wait"},
            {"id", ++id_},
            {"keys", {argument.substr(0, second)}},
            {"timeout_ms", std::stoi(argument.substr(second + 1))}});
      if (Receive()["ok"] != false) ::_exit(22);
    } else if (verb == "commit") {
      Send({{"kind", "commit"},
            {"step", std::stoi(argument)},
            {"name", "checkpoint-" + argument},
            {"sha256", "00"}});
      if (Receive()["granted"] != true) ::_exit(23);
    } else if (verb == "rejoin") {
      Send(contract::ErrorMessage(Unavailable("peer is gone")));
      Send({{"kind", "idle"}});
      while (Receive()["kind"] != "rejoin") {
      }
    } else if (verb == "bad_kind") {
      Send({{"kind", "narrative"}});
    } else if (verb == "garbage") {
      if (::write(fd_, "\xff\xff\xff\xff????", 8) != 8) ::_exit(7);
    } else {
      return false;
    }
    return true;
  }

  bool End(const std::string& verb, const std::string& argument) {
    if (verb == "done" || verb == "await_stop") {
      while (verb == "await_stop" && Receive()["kind"] != "stop") {
      }
      Send(contract::ToJson(
          contract::DoneReport{.step = step_, .steps_executed = step_, .rank_tokens = 10 * rank_}));
      ::_exit(verb == "done" ? 0 : 130);
    } else if (verb == "exit") {
      ::_exit(std::stoi(argument));
    } else if (verb == "kill") {
      const rlimit no_core{0, 0};
      ::setrlimit(RLIMIT_CORE, &no_core);
      ::kill(::getpid(), std::stoi(argument));
    } else if (verb == "stopped") {
      ::kill(::getpid(), SIGSTOP);
    } else if (verb == "error" || verb == "peer_error") {
      Send(contract::ErrorMessage(verb == "error" ? Internal(argument)
                                                  : Unavailable("peer is gone")));
      ::_exit(1);
    } else if (verb == "hang") {
      while (true) Receive();
    } else if (verb == "stubborn") {
      while (true) ::pause();
    } else {
      return false;
    }
    return true;
  }

  bool Look(const std::string& verb, const std::string& argument) {
    if (verb == "env" || verb == "no_env") {
      const size_t equals = argument.find('=');
      const char* value = std::getenv(argument.substr(0, equals).c_str());
      if (verb == "no_env" && value != nullptr) ::_exit(25);
      if (verb == "env" && (value == nullptr || argument.substr(equals + 1) != value)) ::_exit(24);
    } else if (verb == "fds") {
      int open_fds = 0;
      for (int fd = 0; fd < 1024; ++fd) open_fds += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
      if (open_fds != std::stoi(argument)) ::_exit(26);
    } else {
      return false;
    }
    return true;
  }

  int rank_;
  int fd_;
  int64_t step_ = 0;
  int64_t id_ = 0;
};

}  // namespace
}  // namespace anamnesis

int main(int argc, char** argv) {
  if (argc < 4 || std::strcmp(argv[argc - 2], "--channel-fd") != 0) return 98;
  anamnesis::EchoRank rank(std::atoi(argv[1]), std::atoi(argv[argc - 1]));
  for (int i = 2; i < argc - 2; ++i) rank.Do(argv[i]);
  return 97;
}
