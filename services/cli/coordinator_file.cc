// SPDX-License-Identifier: Apache-2.0
#include "services/cli/coordinator_file.h"

#include <sys/types.h>

#include <limits>

#include "common/io/file.h"
#include "common/io/json.h"

namespace anamnesis::cli {

StatusOr<CoordinatorProcess> FindCoordinator(const std::string& data_directory) {
  const std::string path = data_directory + "/coordinator.json";
  const auto absent = [](const std::string& why) {
    return NotFound("no coordinator runs here: ", why);
  };
  if (!PathExists(path)) return absent(Cat("there is no ", path));
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  CoordinatorProcess process;
  ANAM_ASSIGN_OR_RETURN(process.identity.pid, JsonInt(json, "pid", path));
  ANAM_ASSIGN_OR_RETURN(process.identity.start_ticks, JsonInt(json, "start_ticks", path));
  ANAM_ASSIGN_OR_RETURN(process.address, JsonString(json, "address", path));
  const int64_t pid = process.identity.pid;
  if (pid <= 1 || pid > std::numeric_limits<pid_t>::max()) {
    return InvalidArgument(path, ": pid: expected a process, found ", pid);
  }
  const auto version = json.find("version");
  if (version != json.end() && version->is_string()) process.version = version->get<std::string>();
  const auto now = IdentityOf(pid);
  if (!now.ok() || *now != process.identity) {
    return absent(Cat("process ", pid, " of ", path, " is gone"));
  }
  return process;
}

}  // namespace anamnesis::cli
