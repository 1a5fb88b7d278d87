// SPDX-License-Identifier: Apache-2.0
#include "services/cli/job_advice.h"

#include <algorithm>

#include "anamnesis/v1/job.pb.h"
#include "common/config/advice.h"

namespace anamnesis::cli {
namespace {

StatusOr<config::JobConfig> ConfigOf(const v1::JobSpec& spec) {
  ANAM_ASSIGN_OR_RETURN(const config::Task task, config::TaskFromName(spec.task()));
  return config::ParseJobConfig({.name = spec.config_name(),
                                 .text = spec.config_yaml(),
                                 .working_directory = spec.working_directory()},
                                task, {spec.overrides().begin(), spec.overrides().end()});
}

config::Facts FactsOf(const v1::Job& job) {
  config::Facts facts;
  if (job.progress().total_steps() > 0) facts.total_steps = job.progress().total_steps();
  facts.out_of_memory = job.reason() == v1::REASON_OUT_OF_MEMORY;
  return facts;
}

}  // namespace

std::vector<std::string> AdviceOf(const v1::Job& job) {
  std::vector<std::string> lines;
  for (const std::string& note : job.notes()) {
    if (config::SeverityOfLine(note)) lines.push_back(note);
  }
  const StatusOr<config::JobConfig> config = ConfigOf(job.spec());
  if (!config.ok()) return lines;
  for (const config::Advice& advice : config::Advise(*config, FactsOf(job))) {
    const std::string line = config::LineOf(advice);
    if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
  }
  return lines;
}

}  // namespace anamnesis::cli
