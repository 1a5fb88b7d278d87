// SPDX-License-Identifier: Apache-2.0
#include "common/process/control_group.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "common/io/file.h"

namespace anamnesis {
namespace {

struct OwnGroup {
  std::string folder;
  bool unified = false;
};

bool HasWord(const std::string& list, const std::string& word, char separator) {
  std::istringstream words(list);
  for (std::string one; std::getline(words, one, separator);) {
    if (one == word || one == word + "\n") return true;
  }
  return false;
}

// Where the hierarchy is mounted that has the memory controller in this version; "" for nowhere.
std::string MountPoint(bool unified) {
  std::istringstream mounts(ReadFile("/proc/self/mounts").value_or(""));
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string device, point, type, options;
    words >> device >> point >> type >> options;
    if (unified ? type == "cgroup2" : type == "cgroup" && HasWord(options, "memory", ',')) {
      return point;
    }
  }
  return "";
}

// The group of this process that holds its memory limit: version 1 where memory is there.
StatusOr<OwnGroup> FindOwnGroup() {
  std::istringstream groups(ReadFile("/proc/self/cgroup").value_or(""));
  OwnGroup own;
  std::string path;
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_memory = HasWord(controllers, "memory", ',');
    if (!is_memory && !(controllers.empty() && path.empty())) continue;
    path = line.substr(second + 1);
    own.unified = !is_memory;
    if (is_memory) break;
  }
  const std::string mount = path.empty() ? "" : MountPoint(own.unified);
  if (mount.empty()) return FailedPrecondition("no control groups are mounted here");
  // A container may see its own group as the root of the mount.
  own.folder = PathExists(mount + path) ? mount + path : mount;
  while (own.folder.ends_with('/')) own.folder.pop_back();
  return own;
}

Status Write(const std::string& path, const std::string& text) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.valid() &&
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) {
    return absl::OkStatus();
  }
  return FailedPrecondition(path, ": cannot be written: ", ErrnoText(errno));
}

Status MakeGroup(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return absl::OkStatus();
  return FailedPrecondition(path, ": cannot be made: ", ErrnoText(errno));
}

}  // namespace

StatusOr<std::unique_ptr<ControlGroups>> ControlGroups::Open() {
  ANAM_ASSIGN_OR_RETURN(const OwnGroup own, FindOwnGroup());
  if (own.unified) {
    const std::string controllers = ReadFile(own.folder + "/cgroup.controllers").value_or("");
    if (!HasWord(controllers, "memory", ' ')) {
      return FailedPrecondition(own.folder,
                                ": has no memory controller; run it in a systemd unit "
                                "with Delegate=yes");
    }
    ANAM_RETURN_IF_ERROR(MakeGroup(own.folder + "/coordinator"));
    ANAM_RETURN_IF_ERROR(
        Write(own.folder + "/coordinator/cgroup.procs", std::to_string(::getpid())));
    ANAM_RETURN_IF_ERROR(Write(own.folder + "/cgroup.subtree_control", "+memory"));
  } else if (::access(own.folder.c_str(), W_OK) != 0) {
    return FailedPrecondition(own.folder, ": ", ErrnoText(errno));
  }
  return std::unique_ptr<ControlGroups>(new ControlGroups(own.folder, own.unified));
}

Status ControlGroups::Limit(const std::string& name, int64_t memory_bytes) const {
  const std::string group = Cat(folder_, "/", name);
  ANAM_RETURN_IF_ERROR(MakeGroup(group));
  return Write(group + (unified_ ? "/memory.max" : "/memory.limit_in_bytes"),
               std::to_string(memory_bytes));
}

Status ControlGroups::Enter(const std::string& name, int pid) const {
  return Write(Cat(folder_, "/", name, "/cgroup.procs"), std::to_string(pid));
}

void ControlGroups::Remove(const std::string& name) const {
  ::rmdir(Cat(folder_, "/", name).c_str());  // fails while something is in it
}

int64_t OomKills() {
  const StatusOr<OwnGroup> own = FindOwnGroup();
  if (!own.ok()) return 0;
  const std::string file = own->folder + (own->unified ? "/memory.events" : "/memory.oom_control");
  std::istringstream lines(ReadFile(file).value_or(""));
  for (std::string key, value; lines >> key >> value;) {
    if (key == "oom_kill") return std::atoll(value.c_str());
  }
  return 0;
}

}  // namespace anamnesis
