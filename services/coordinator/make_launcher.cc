// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/make_launcher.h"

#include <cstdlib>
#include <utility>

#include "common/process/sibling.h"
#include "services/launch/kubernetes/launcher.h"
#include "services/launch/local.h"
#include "services/launch/slurm.h"

extern char** environ;

namespace anamnesis::coordinator {

StatusOr<std::unique_ptr<launch::Launcher>> MakeLauncher(const UpOptions& options) {
  if (options.launcher == "kubernetes") {
    ANAM_ASSIGN_OR_RETURN(launch::KubernetesOptions kubernetes,
                          launch::ParseKubernetesOptions(options.engine, [](const char* name) {
                            const char* value = std::getenv(name);
                            return std::string(value == nullptr ? "" : value);
                          }));
    return launch::KubernetesLauncher::Create(std::move(kubernetes), options.data_dir);
  }
  ANAM_ASSIGN_OR_RETURN(const std::string worker, SiblingProgram("anamnesis-worker"));
  if (options.launcher == "slurm") {
    ANAM_ASSIGN_OR_RETURN(launch::SlurmOptions slurm, launch::ParseSlurmOptions(options.engine));
    std::vector<std::string> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
    return launch::SlurmLauncher::Create(std::move(slurm),
                                         {.data_directory = options.data_dir,
                                          .worker_program = worker,
                                          .environment = launch::WorkerEnvironment(environment)});
  }
  if (options.launcher != "local") {
    return Unimplemented("--launcher ", options.launcher, " is not built yet");
  }
  launch::LocalOptions local{.worker_program = worker, .data_directory = options.data_dir};
  if (options.memory_per_slot > 0) {
    auto groups = ControlGroups::Open();
    ANAM_RETURN_IF_ERROR(AddContext(groups.status(), "--memory-per-slot"));
    local.memory_per_rank = options.memory_per_slot;
    local.groups = *std::move(groups);
  }
  return launch::LocalLauncher::Create(std::move(local));
}

}  // namespace anamnesis::coordinator
