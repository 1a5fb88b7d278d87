// SPDX-License-Identifier: Apache-2.0
// What squeue, sacct and sbatch print, and the settings of the operator.
#include "services/launch/slurm_output.h"
#include "tests/fuzz/fuzz.h"

std::vector<std::string> FuzzSeeds() {
  return {
      "4711|RUNNING|anamnesis-17-2-0123456789abcdef|anamnesis-17-2-0123456789abcdef|None\n"
      "4712|PENDING|anamnesis-18-1-0123456789abcdef|(null)|Resources\n"
      "12_[1-4]|PENDING|other|a|b|c|Priority\n",
      "4711|CANCELLED by 1000\n4711.batch|CANCELLED\n4712|OUT_OF_MEMORY\n",
      "4711;cluster\n",
      "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission "
      "failed: Invalid partition name specified\n",
      "time_limit=1-00:30:00",
      "gres_per_rank=gpu:a100:2",
      "memory_per_rank=8G"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace anamnesis::launch;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto jobs = ParseSqueue(text, "0123456789abcdef");
  if (jobs.ok()) {
    for (const SlurmJob& job : *jobs) {
      if (job.id < 1 || ParseSlurmTag(TextOf(job.tag)) != job.tag) __builtin_trap();
    }
  }
  for (const auto& [id, account] : ParseSacct(text)) {
    if (id < 1 || account.state_name.size() > 80) __builtin_trap();
  }
  const auto id = ParseSbatch(text);
  if (id.ok() && *id < 1) __builtin_trap();
  const SlurmRefusal refusal = JudgeRefusal(text, 1);
  if (refusal.message.empty() || refusal.message.size() > 600) __builtin_trap();
  for (const char c : refusal.message) {
    if (c < ' ' || c > '~') __builtin_trap();
  }
  const auto options = ParseSlurmOptions({text});
  if (options.ok() && options->gres_per_rank.count < 0) __builtin_trap();
  return 0;
}
