// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/grant_options.h"

#include <unistd.h>

#include <cerrno>

#include "common/io/file.h"
#include "workers/agent/seats.h"

namespace anamnesis::agent {

StatusOr<RunOptions> OptionsOf(const v1::Grant& grant, const std::string& job_id) {
  const v1::JobSpec& spec = grant.spec();
  if (::chdir(spec.working_directory().c_str()) != 0) {
    return InvalidArgument("working_directory: ", spec.working_directory(),
                           ": cannot be entered: ", ErrnoText(errno));
  }
  const std::string folder = Cat(grant.data_directory(), "/jobs/", job_id);
  ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
  RunOptions options;
  options.config_path = folder + "/spec.yaml";
  ANAM_RETURN_IF_ERROR(WriteFileDurably(options.config_path, spec.config_yaml()));
  ANAM_ASSIGN_OR_RETURN(options.task, config::TaskFromName(spec.task()));
  options.overrides.assign(spec.overrides().begin(), spec.overrides().end());
  options.ranks = grant.ranks();
  options.slots = grant.ranks();
  if (grant.threads_per_rank() > 0) options.threads_per_rank = grant.threads_per_rank();
  options.data_dir = grant.data_directory();
  options.allow_hub = grant.allow_hub();
  options.service = ServiceRun{.run_id = grant.run_id(),
                               .epoch = static_cast<uint64_t>(grant.epoch()),
                               .rank_interface = grant.rank_interface(),
                               .seats = SeatsOf(grant, ShareOfThisProcess())};
  return options;
}

}  // namespace anamnesis::agent
