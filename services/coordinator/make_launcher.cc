// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/make_launcher.h"

#include "common/process/sibling.h"
#include "services/launch/local.h"

namespace anamnesis::coordinator {

StatusOr<std::unique_ptr<launch::Launcher>> MakeLauncher(const UpOptions& options) {
  ANAM_ASSIGN_OR_RETURN(const std::string worker, SiblingProgram("anamnesis-worker"));
  if (options.launcher != "local") {
    return Unimplemented("--launcher ", options.launcher, " is not built yet");
  }
  return launch::LocalLauncher::Create(
      {.worker_program = worker, .data_directory = options.data_dir});
}

}  // namespace anamnesis::coordinator
