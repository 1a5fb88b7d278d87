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
  const v1::DataFacts& data = job.data();
  if (data.has_medical_coverage()) facts.medical_coverage = data.medical_coverage();
  if (data.has_lab_coverage()) facts.lab_coverage = data.lab_coverage();
  if (data.has_truncated_token_share()) facts.truncated_token_share = data.truncated_token_share();
  if (data.train_documents() > 0) facts.train_documents = data.train_documents();
  facts.class_shares.assign(data.class_shares().begin(), data.class_shares().end());
  const double evaluation = job.progress().evaluation_seconds();
  const double all = evaluation + job.progress().train_seconds();
  if (evaluation > 0) facts.evaluation_time_share = evaluation / all;
  facts.out_of_memory = job.reason() == v1::REASON_OUT_OF_MEMORY;
  return facts;
}

}  // namespace

std::vector<std::string> AdviceOf(const v1::Job& job, const std::vector<double>& tuning_losses) {
  std::vector<std::string> lines;
  for (const std::string& note : job.notes()) {
    if (config::SeverityOfLine(note)) lines.push_back(note);
  }
  const StatusOr<config::JobConfig> config = ConfigOf(job.spec());
  if (!config.ok()) return lines;
  config::Facts facts = FactsOf(job);
  facts.tuning_losses = tuning_losses;
  for (const config::Advice& advice : config::Advise(*config, facts)) {
    const std::string line = config::LineOf(advice);
    if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
  }
  return lines;
}

}  // namespace anamnesis::cli
