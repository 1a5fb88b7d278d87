// SPDX-License-Identifier: Apache-2.0
#include "services/cli/doctor.h"

#include <netdb.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/io/file.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

constexpr uint64_t kGiB = 1ULL << 30U;
constexpr uint64_t kMiB = 1ULL << 20U;

std::string SizeText(uint64_t bytes) {
  char text[32];
  const bool large = bytes >= kGiB;
  std::snprintf(text, sizeof text, large ? "%.1f GiB" : "%.0f MiB",
                static_cast<double>(bytes) / static_cast<double>(large ? kGiB : kMiB));
  return text;
}

// Of files of the kernel, which have no size of their own.
std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The nearest folder that exists at or above the path.
std::string ExistingParent(const std::string& path) {
  std::error_code error;
  std::filesystem::path at = std::filesystem::absolute(path, error);
  while (!at.empty() && at != at.root_path() && !std::filesystem::exists(at, error)) {
    at = at.parent_path();
  }
  return at.empty() ? "/" : at.string();
}

void ExamineDriver(std::vector<Finding>& findings) {
  const std::string version = ReadText("/proc/driver/nvidia/version");
  findings.push_back(JudgeDriver(!version.empty(), version));
  if (version.empty()) return;
  std::error_code error;
  for (const auto& gpu : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    const std::string text = ReadText((gpu.path() / "information").string());
    const size_t at = text.find("Model:");
    if (at == std::string::npos) continue;
    const size_t from = text.find_first_not_of(" \t", at + 6);
    if (from == std::string::npos) continue;
    findings.push_back(
        {Level::kOk, "gpu", Printable(text.substr(from, text.find('\n', from) - from)), ""});
  }
}

void ExamineSpace(const std::string& subject, const std::string& path,
                  std::vector<Finding>& findings) {
  const std::string existing = ExistingParent(path);
  struct statvfs space = {};
  if (::statvfs(existing.c_str(), &space) != 0) {
    findings.push_back({Level::kBad, subject, Cat(path, ": ", ErrnoText(errno)),
                        "make the folder or choose another"});
    return;
  }
  findings.push_back(
      JudgeDisk(subject, path, static_cast<uint64_t>(space.f_bavail) * space.f_frsize));
}

// A folder that is there is written to; of one that is not yet there, its parent's right decides.
void ExamineWritable(const std::string& subject, const std::string& path,
                     std::vector<Finding>& findings) {
  const std::string existing = ExistingParent(path);
  if (!IsDirectory(existing)) {
    findings.push_back({Level::kBad, subject, Cat(existing, " is not a folder"), "choose another"});
    return;
  }
  std::string probe = existing + "/.anamnesis-doctor-XXXXXX";
  const FileDescriptor file(::mkstemp(probe.data()));
  const int error = errno;
  if (file.valid()) ::unlink(probe.c_str());
  const bool there = existing == std::filesystem::absolute(path).lexically_normal().string();
  if (!file.valid()) {
    findings.push_back({Level::kBad, subject, Cat(existing, ": cannot write: ", ErrnoText(error)),
                        "give yourself the right to write there or choose another folder"});
  } else {
    findings.push_back(
        {Level::kOk, subject, Cat(path, there ? " can be written" : " can be made"), ""});
  }
}

void ExamineSocketPath(const std::string& data_directory, std::vector<Finding>& findings) {
  const auto address = rpc::UnixAddress(data_directory + "/s");
  if (address.ok()) {
    findings.push_back({Level::kOk, "socket path",
                        Cat(address->unix_path.size(), " of ", rpc::kMaxUnixPathBytes, " bytes"),
                        ""});
  } else {
    findings.push_back({Level::kBad, "socket path", MessageOf(address.status()),
                        "set ANAMNESIS_DATA_DIR to a shorter path"});
  }
}

void ExamineClock(std::vector<Finding>& findings) {
  const Clock& clock = Clock::System();
  const absl::Duration before = clock.Monotonic();
  absl::SleepFor(absl::Milliseconds(2));
  findings.push_back(JudgeClock(absl::ToCivilYear(absl::Now(), absl::UTCTimeZone()).year(),
                                clock.Monotonic() > before));
}

void ExamineCores(std::vector<Finding>& findings) {
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool known = ::sched_getaffinity(0, sizeof set, &set) == 0;
  const int64_t online = ::sysconf(_SC_NPROCESSORS_ONLN);
  findings.push_back(JudgeCores(online, known ? CPU_COUNT(&set) : online));
}

void ExaminePort(const std::string& listen, std::vector<Finding>& findings) {
  const auto bad = [&](const std::string& text) {
    findings.push_back({Level::kBad, "port", text, "choose another HOST:PORT for --listen"});
  };
  const auto address = rpc::ParseAddress(listen);
  if (!address.ok()) return bad(MessageOf(address.status()));
  if (address->is_unix()) return bad("--listen takes HOST:PORT");
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(address->host.c_str(), std::to_string(address->port).c_str(), &hints, &found);
  if (error != 0) return bad(Cat(listen, ": ", ::gai_strerror(error)));
  const FileDescriptor socket(
      ::socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const int bound = ::bind(socket.get(), found->ai_addr, found->ai_addrlen);
  const int bind_error = errno;
  ::freeaddrinfo(found);
  if (bound != 0) return bad(Cat(listen, ": ", ErrnoText(bind_error)));
  findings.push_back({Level::kOk, "port", Cat(listen, " is free"), ""});
}

// Where Hugging Face keeps models: $HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub.
void ExamineModelCache(const Environment& environment, std::vector<Finding>& findings) {
  std::string path;
  if (const auto hub = environment("HF_HUB_CACHE")) {
    path = *hub;
  } else if (const auto home = environment("HF_HOME")) {
    path = *home + "/hub";
  } else {
    path = environment("HOME").value_or("") + "/.cache/huggingface/hub";
  }
  if (!PathExists(path)) {
    findings.push_back(
        {Level::kOk, "model cache", Cat("none at ", path, ": name models by folder"), ""});
    return;
  }
  const auto entries = ListDirectory(path);
  if (!entries.ok()) {
    findings.push_back({Level::kWarn, "model cache", Cat(path, " cannot be read"),
                        "give yourself the right to read it, or set HF_HOME"});
    return;
  }
  const auto models = std::count_if(entries->begin(), entries->end(), [](const std::string& name) {
    return name.starts_with("models--");
  });
  findings.push_back(
      {Level::kOk, "model cache", Cat(path, ": ", models, models == 1 ? " model" : " models"), ""});
}

void ExaminePrograms(std::vector<Finding>& findings) {
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  std::string missing;
  for (const char* name :
       {"anamnesis-coordinator", "anamnesis-worker", "anamnesis-rank", "anamnesis-prep"}) {
    if (::access((folder / name).c_str(), X_OK) != 0) {
      missing += Cat(missing.empty() ? "" : ", ", name);
    }
  }
  if (missing.empty()) {
    findings.push_back({Level::kOk, "programs", Cat("all in ", folder.string()), ""});
  } else {
    findings.push_back({Level::kBad, "programs", Cat(missing, " not in ", folder.string()),
                        "build them, or install the programs together"});
  }
}

}  // namespace

std::vector<Finding> ExamineMachine(const DoctorOptions& options, const Environment& environment) {
  std::vector<Finding> findings;
  ExamineDriver(findings);
  ExamineCores(findings);
  struct statvfs shared = {};
  const bool known = ::statvfs("/dev/shm", &shared) == 0;
  findings.push_back(
      JudgeSharedMemory(known ? static_cast<uint64_t>(shared.f_blocks) * shared.f_frsize : 0,
                        known ? static_cast<uint64_t>(shared.f_bavail) * shared.f_frsize : 0));
  ExamineWritable("data directory", options.data_directory, findings);
  ExamineSpace("data space", options.data_directory, findings);
  if (!options.output_directory.empty()) {
    ExamineWritable("output", options.output_directory, findings);
    ExamineSpace("output space", options.output_directory, findings);
  }
  ExamineSocketPath(options.data_directory, findings);
  ExamineClock(findings);
  if (!options.listen.empty()) ExaminePort(options.listen, findings);
  ExamineModelCache(environment, findings);
  ExaminePrograms(findings);
  return findings;
}

Finding JudgeDriver(bool present, const std::string& version_text) {
  if (!present) {
    return {Level::kWarn, "gpu driver", "no NVIDIA driver: training runs on the CPU only",
            "install the driver, or give the container its devices, to use a GPU"};
  }
  return {Level::kOk, "gpu driver", Printable(version_text.substr(0, version_text.find('\n'))), ""};
}

Finding JudgeSharedMemory(uint64_t total_bytes, uint64_t free_bytes) {
  Finding finding = {Level::kOk, "shared memory",
                     Cat("/dev/shm has ", SizeText(free_bytes), " free of ", SizeText(total_bytes)),
                     ""};
  // Docker's 64 MiB is too little for NCCL between ranks.
  if (total_bytes < 256 * kMiB) {
    finding.level = Level::kWarn;
    finding.remedy = "start the container with --shm-size=1g for several GPU ranks";
  }
  return finding;
}

Finding JudgeDisk(const std::string& subject, const std::string& path, uint64_t free_bytes) {
  Finding finding = {Level::kOk, subject, Cat(SizeText(free_bytes), " free at ", path), ""};
  if (free_bytes < 256 * kMiB) {
    finding.level = Level::kBad;
    finding.remedy = "free disk space: checkpoints and shards would not fit";
  } else if (free_bytes < 5 * kGiB) {
    finding.level = Level::kWarn;
    finding.remedy = "free disk space before a long job";
  }
  return finding;
}

Finding JudgeClock(int64_t year, bool monotonic_advances) {
  if (!monotonic_advances) {
    return {Level::kBad, "clock", "CLOCK_MONOTONIC stands still",
            "leases need it: look at the virtual machine"};
  }
  if (year < 2024 || year > 2100) {
    return {Level::kBad, "clock", Cat("the year is ", year), "set the system's clock"};
  }
  return {Level::kOk, "clock", Cat("year ", year, ", monotonic clock runs"), ""};
}

Finding JudgeCores(int64_t online, int64_t allowed) {
  Finding finding = {Level::kOk, "cores", Cat(allowed, " of ", online, " may be used"), ""};
  if (allowed < 2) {
    finding.level = Level::kWarn;
    finding.remedy = "ranks share one core: widen the affinity (taskset, cpuset) to use more";
  }
  return finding;
}

std::string FindingsText(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    const char* level = finding.level == Level::kOk     ? "ok  "
                        : finding.level == Level::kWarn ? "warn"
                                                        : "bad ";
    std::string subject = finding.subject;
    subject.resize(std::max<size_t>(subject.size(), 15), ' ');
    text += Cat(level, "  ", subject, "  ", Printable(finding.text),
                finding.remedy.empty() ? "" : Cat(": ", finding.remedy), "\n");
  }
  return text;
}

nlohmann::ordered_json FindingsJson(const std::vector<Finding>& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    const char* level = finding.level == Level::kOk     ? "ok"
                        : finding.level == Level::kWarn ? "warn"
                                                        : "bad";
    list.push_back({{"level", level},
                    {"subject", finding.subject},
                    {"text", finding.text},
                    {"remedy", finding.remedy}});
  }
  return {{"findings", std::move(list)}};
}

bool HasBad(const std::vector<Finding>& findings) {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return finding.level == Level::kBad; });
}

}  // namespace anamnesis::cli
