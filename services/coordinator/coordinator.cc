// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/coordinator.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <thread>

#include "common/io/json.h"
#include "common/io/lock.h"
#include "common/process/identity.h"
#include "services/coordinator/loop.h"
#include "services/coordinator/make_launcher.h"
#include "services/coordinator/servers.h"
#include "services/coordinator/slot_watch.h"
#include "services/coordinator/token.h"

namespace anamnesis::coordinator {
namespace {

constexpr absl::Duration kLockPatience = absl::Seconds(2);  // for one that is about to end

// SIGINT, SIGTERM and SIGHUP as a descriptor; before the first thread is started.
StatusOr<FileDescriptor> CatchSignals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return Internal("pthread_sigmask");
  FileDescriptor fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ResourceExhausted("signalfd: ", ErrnoText(errno));
  return fd;
}

// The data directory, taken for this process alone.
StatusOr<FileDescriptor> TakeFolder(const std::string& folder) {
  const mode_t mask = ::umask(077);
  const Status made = MakeDirectories(folder);
  ::umask(mask);
  ANAM_RETURN_IF_ERROR(AddContext(made, "--data-dir"));
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0 || info.st_uid != ::geteuid()) {
    return PermissionDenied("--data-dir ", folder, ": belongs to another user");
  }
  if (::chmod(folder.c_str(), 0700) != 0) {
    return PermissionDenied("--data-dir ", folder, ": ", ErrnoText(errno));
  }
  StatusOr<FileDescriptor> lock = LockPath(folder + "/lock", kLockPatience);
  if (lock.status().code() == absl::StatusCode::kAlreadyExists) {
    return AlreadyExists("a coordinator runs already in ", folder,
                         "; end it with 'anamnesis down', or choose another --data-dir");
  }
  ANAM_RETURN_IF_ERROR(lock.status());
  ::fcntl(lock->get(), F_SETFD, FD_CLOEXEC);  // workers outlive us and must not hold it
  return lock;
}

Status NoteSelf(const UpOptions& options, const std::string& version, const Servers& servers,
                const std::string& metrics) {
  ANAM_ASSIGN_OR_RETURN(const ProcessIdentity self, IdentityOf(::getpid()));
  const Json note = {{"pid", self.pid},
                     {"start_ticks", self.start_ticks},
                     {"address", Cat("unix:", options.data_dir, "/s")},
                     {"tcp_address", servers.tcp_address()},
                     {"worker_address", servers.worker_tcp_address()},
                     {"metrics_address", metrics},
                     {"version", version}};
  return WriteFileDurably(options.data_dir + "/coordinator.json", note.dump(2) + "\n");
}

void Announce(const UpOptions& options, const std::string& version, const Servers& servers,
              const Token& token, const std::string& metrics) {
  std::fprintf(stderr, "anamnesis %s serves at unix:%s/s: %lld slots x %s%lld threads\n",
               version.c_str(), options.data_dir.c_str(), static_cast<long long>(options.slots),
               options.device == "cuda" ? "1 GPU and " : "",
               static_cast<long long>(options.threads_per_slot));
  if (!servers.tcp_address().empty()) {
    std::fprintf(stderr, "  also at %s, %s\n", servers.tcp_address().c_str(),
                 token.file.empty() ? "for anybody who connects (--insecure)"
                                    : ("with the token in " + token.file).c_str());
  }
  if (!servers.worker_tcp_address().empty()) {
    std::fprintf(stderr, "  workers (%s) at %s\n", options.launcher.c_str(),
                 servers.worker_tcp_address().c_str());
  }
  if (!metrics.empty()) std::fprintf(stderr, "  metrics at http://%s/metrics\n", metrics.c_str());
}

// Where the launcher's workers find the worker plane. A port that was taken by number 0 is told.
std::string WorkerAddress(const UpOptions& options, const Servers& servers) {
  if (!options.worker_address.empty()) return options.worker_address;
  if (!servers.worker_tcp_address().empty()) return servers.worker_tcp_address();
  return Cat("unix:", options.data_dir, "/w");
}

// Until the loop has ended; signals steer it.
void WaitForEnd(const FileDescriptor& signals, const FileDescriptor& ended, Loop& loop) {
  bool parking = false;
  for (;;) {
    pollfd fds[] = {{signals.get(), POLLIN, 0}, {ended.get(), POLLIN, 0}};
    ::poll(fds, 2, -1);
    signalfd_siginfo info{};
    while (::read(signals.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGTERM) {
        loop.Shutdown(/*park=*/false);
      } else if (!parking) {
        parking = true;
        std::fprintf(stderr, "parking: running jobs save and stop; once more kills them\n");
        loop.Shutdown(/*park=*/true);
      } else {
        std::fprintf(stderr, "killing the workers\n");
        loop.KillWorkers();
      }
    }
    if (fds[1].revents != 0) return;
  }
}

struct Folder {
  std::string path;
  std::string file(const char* name) const { return Cat(path, "/", name); }
};

}  // namespace

Status RunCoordinator(const UpOptions& given, const std::string& version,
                      const std::function<void()>& on_ready) {
  UpOptions options = given;
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<devices::SlotDevices> gpus,
                        OpenSlotDevices(&options));
  ANAM_ASSIGN_OR_RETURN(std::vector<std::vector<int>> slot_cpus, CpusOfSlots(options));
  ANAM_ASSIGN_OR_RETURN(const FileDescriptor signals, CatchSignals());
  const FileDescriptor ended(::eventfd(0, EFD_CLOEXEC));
  if (!ended.valid()) return ResourceExhausted("eventfd: ", ErrnoText(errno));
  ANAM_ASSIGN_OR_RETURN(const FileDescriptor lock, TakeFolder(options.data_dir));
  const Folder folder{options.data_dir};
  ForgetContext(options.data_dir);
  Token token;
  if (!options.listen.empty()) {
    ANAM_ASSIGN_OR_RETURN(token, TokenFor(options));
  }
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<store::Store> store,
                        store::Store::Open(folder.file("state.db")));
  std::FILE* log_file = std::fopen(folder.file("coordinator.log").c_str(), "ae");
  if (log_file == nullptr) {
    return InvalidArgument(folder.file("coordinator.log"), ": ", ErrnoText(errno));
  }
  Log log(log_file);
  Board board;
  SessionHub sessions;
  Telemetry telemetry(board, options.slots, version);
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<launch::Launcher> launcher, MakeLauncher(options));
  LoopOptions loop_options{
      .core = {.num_slots = options.slots, .ranks_per_node = options.ranks_per_node},
      .threads_per_slot = options.threads_per_slot,
      .data_directory = options.worker_data_dir,
      .rank_interface = options.rank_interface,
      .upload_checkpoints = options.upload_checkpoints,
      .allow_hub = options.allow_hub,
      .checkpoint_store = options.checkpoint_store,
      .device = options.device,
      .slot_gpus = gpus == nullptr ? std::vector<std::string>() : gpus->uuids(),
      .pin_cpus = options.pin_cpus,
      .slot_cpus = std::move(slot_cpus)};
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<Loop> loop,
                        Loop::Create(loop_options, {*store, *launcher, board, sessions, telemetry,
                                                    log, Clock::System()}));
  ANAM_ASSIGN_OR_RETURN(
      const std::unique_ptr<Servers> servers,
      Servers::Start({.public_socket = folder.file("s"),
                      .worker_socket = folder.file("w"),
                      .listen = options.listen,
                      .worker_listen = options.worker_listen,
                      .api = {.rules = {.roots = options.roots, .num_slots = options.slots},
                              .version = version,
                              .token = token.value}},
                     *loop, board, *store, sessions, *launcher));
  loop->SetWorkerAddress(WorkerAddress(options, *servers));
  std::string metrics;
  if (!options.metrics.empty()) {
    ANAM_ASSIGN_OR_RETURN(metrics, telemetry.Serve(options.metrics));
  }
  ANAM_RETURN_IF_ERROR(NoteSelf(options, version, *servers, metrics));
  if (!token.file.empty()) {
    ANAM_RETURN_IF_ERROR(NoteContext(servers->tcp_address(), token));
  }
  log.Info("serving", {{"version", version}, {"slots", options.slots}});
  Announce(options, version, *servers, token, metrics);
  std::optional<SlotWatch> slot_watch;  // ends before the loop is gone
  if (gpus != nullptr) slot_watch.emplace(*gpus, *loop);
  std::thread loop_thread([&] {
    loop->Run();
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(ended.get(), &one, sizeof one);
  });
  ::pthread_setname_np(loop_thread.native_handle(), "loop");
  on_ready();
  WaitForEnd(signals, ended, *loop);
  loop_thread.join();
  board.Close();
  sessions.CloseAll(Unavailable("the coordinator ends; come back to the next one"));
  servers->Shutdown(absl::Milliseconds(500));
  ::unlink(folder.file("coordinator.json").c_str());
  ForgetContext(options.data_dir);
  log.Info("ended");
  std::fclose(log_file);
  return absl::OkStatus();
}

Status DetachCoordinator(const UpOptions& options, const std::string& version) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ResourceExhausted("pipe: ", ErrnoText(errno));
  const pid_t child = ::fork();  // before any thread was started
  if (child < 0) return ResourceExhausted("fork: ", ErrnoText(errno));
  if (child == 0) {
    ::close(ends[0]);
    ::setsid();
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : {0, 1, 2}) ::dup2(null, fd);
    const Status status = RunCoordinator(options, version, [&] {
      [[maybe_unused]] const ssize_t written = ::write(ends[1], "+", 1);
      ::close(ends[1]);
    });
    const std::string text = Cat(static_cast<int>(status.code()), " ", MessageOf(status));
    if (!status.ok()) [[maybe_unused]]
      const ssize_t written = ::write(ends[1], text.data(), text.size());
    ::_exit(ExitCodeOf(status));
  }
  ::close(ends[1]);
  std::string text(4096, '\0');
  ssize_t size = 0;
  do {
    size = ::read(ends[0], text.data(), text.size());
  } while (size < 0 && errno == EINTR);
  ::close(ends[0]);
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  if (text == "+") {
    std::fprintf(stderr, "the coordinator serves at unix:%s/s; 'anamnesis down' ends it\n",
                 options.data_dir.c_str());
    const StatusOr<Json> note = ReadJsonFile(options.data_dir + "/coordinator.json");
    if (note.ok() && !note->value("metrics_address", "").empty()) {
      std::fprintf(stderr, "  metrics at http://%s/metrics\n",
                   note->value("metrics_address", "").c_str());
    }
    return absl::OkStatus();
  }
  const size_t space = text.find(' ');
  if (space == std::string::npos) return Internal("the coordinator ended without a word");
  return Status(static_cast<absl::StatusCode>(std::atoi(text.c_str())), text.substr(space + 1));
}

}  // namespace anamnesis::coordinator
