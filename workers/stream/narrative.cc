// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/narrative.h"

#include <algorithm>

namespace anamnesis::stream {

StatusOr<std::string> SeparatorOf(const std::string& profile) {
  if (profile == "seed") return std::string(", ");
  return Unimplemented("data.profile: ", profile, " is not built yet; use seed");
}

StatusOr<NarrativeRule> NarrativeRule::FromSpec(const StreamSpec& spec) {
  NarrativeRule rule;
  ANAM_ASSIGN_OR_RETURN(rule.separator_, SeparatorOf(spec.profile));
  if (spec.time_mode != "none") {
    return Unimplemented("data.time_mode: ", spec.time_mode, " is not built yet; use none");
  }
  ANAM_ASSIGN_OR_RETURN(rule.cutoff_, CutoffRule::FromSpec(spec));
  return rule;
}

Status NarrativeRule::Apply(const shard::Subject& subject,
                            const std::vector<shard::Phrase>& phrases, const std::string& split,
                            uint64_t subject_index, Narrative* narrative) const {
  ANAM_ASSIGN_OR_RETURN(const SubjectCut cut, cutoff_.CutOf(subject, split, subject_index));
  narrative->phrases.clear();
  narrative->num_events = subject.events.size();
  narrative->num_cut_events = 0;
  narrative->last_time_us = shard::kStatic;
  narrative->dropped = cut.drop_subject;
  for (const shard::Event& event : subject.events) {
    if (event.phrase >= phrases.size()) {
      return DataLoss("split ", split, ", subject ", subject_index, ": phrase ", event.phrase,
                      " of a table of ", phrases.size());
    }
    if (!cutoff_.Keeps(cut, event)) {
      ++narrative->num_cut_events;
    } else if (phrases[event.phrase].kind != shard::PhraseKind::kSilent) {
      narrative->phrases.push_back(event.phrase);
      narrative->last_time_us = std::max(narrative->last_time_us, event.time_us);
    }
  }
  return absl::OkStatus();
}

std::string NarrativeRule::Text(const Narrative& narrative,
                                const std::vector<shard::Phrase>& phrases) const {
  std::string text;
  for (size_t i = 0; i < narrative.phrases.size(); ++i) {
    if (i > 0) text += separator_;
    text += phrases[narrative.phrases[i]].text;
  }
  return text;
}

}  // namespace anamnesis::stream
