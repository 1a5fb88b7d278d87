// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/synth_narratives.h"

#include <utility>

#include "workers/prep/validate.h"

namespace anamnesis::prep {

StatusOr<std::unique_ptr<SynthNarratives>> SynthNarratives::Open(const std::string& directory) {
  auto narratives = std::make_unique<SynthNarratives>();
  ANAM_ASSIGN_OR_RETURN(const config::DataSection data, SeedLayoutOf(directory));
  ANAM_ASSIGN_OR_RETURN(narratives->cohort_, Cohort::Load(data));
  stream::StreamSpec spec;
  spec.cutoff_months = kSynthCutoffMonths;
  ANAM_ASSIGN_OR_RETURN(narratives->rule_, stream::NarrativeRule::FromSpec(spec));
  return narratives;
}

StatusOr<std::vector<InputFile>> SynthNarratives::Files(const std::string& split) const {
  return ListSplit(cohort_->data().data_dir, split);
}

Status SynthNarratives::ReadFile(const InputFile& file, const Sink& sink) {
  const auto take = [&](uint64_t index, const shard::Subject& subject,
                        const std::vector<uint32_t>&) -> Status {
    ANAM_RETURN_IF_ERROR(rule_.Apply(subject, cohort_->phrases(), file.name, index, &narrative_));
    return sink(narrative_);
  };
  return cohort_->ReadSubjects(file, take, nullptr);
}

Status SynthNarratives::ReadSplit(const std::string& split, const Sink& sink) {
  ANAM_ASSIGN_OR_RETURN(const std::vector<InputFile> files, Files(split));
  for (const InputFile& file : files) ANAM_RETURN_IF_ERROR(ReadFile(file, sink));
  return absl::OkStatus();
}

}  // namespace anamnesis::prep
