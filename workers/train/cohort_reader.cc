// SPDX-License-Identifier: Apache-2.0
#include "workers/train/cohort_reader.h"

#include <algorithm>
#include <map>

#include "workers/stream/document.h"

namespace anamnesis::train {
namespace {

bool IsSex(const std::string& text) {
  return text == "FEMALE" || text == "MALE" || text == "F" || text == "M";
}

// "AGE_decile 5": the token AGE_decile_5 as it is rendered.
bool IsAge(const std::string& text) {
  const size_t space = text.find(' ');
  if (!text.starts_with("AGE_") || space == std::string::npos || text.size() > 40) return false;
  const std::string number = text.substr(space + 1);
  return !number.empty() && number.find_first_not_of("0123456789") == std::string::npos;
}

void TakeTraits(const shard::Subject& subject, const std::vector<shard::Phrase>& phrases,
                CohortSubject* out) {
  out->site = subject.site;
  out->sex.clear();
  out->age.clear();
  for (const shard::Event& event : subject.events) {
    const std::string& text = phrases[event.phrase].text;
    if (out->sex.empty() && IsSex(text)) out->sex = text;
    if (out->age.empty() && IsAge(text)) out->age = text;
    if (!out->sex.empty() && !out->age.empty()) return;
  }
}

}  // namespace

StatusOr<CohortReader> CohortReader::Open(const std::string& shards_directory,
                                          const stream::StreamSpec& spec) {
  ANAM_ASSIGN_OR_RETURN(std::unique_ptr<shard::ShardSet> shards,
                        shard::ShardSet::Open(shards_directory));
  ANAM_ASSIGN_OR_RETURN(stream::NarrativeRule rule, stream::NarrativeRule::FromSpec(spec));
  return CohortReader(std::move(shards), std::move(rule), spec.class_sites);
}

Status CohortReader::ForEach(const std::string& split, uint64_t stride,
                             const std::function<Status(const CohortSubject&)>& visit) const {
  ANAM_ASSIGN_OR_RETURN(const shard::SplitSummary summary, shards_->Split(split));
  const std::vector<shard::Phrase>& phrases = shards_->phrases();
  shard::Subject subject;
  stream::Narrative narrative;
  CohortSubject out;
  for (uint64_t i = 0; i < summary.num_subjects; i += std::max<uint64_t>(stride, 1)) {
    ANAM_RETURN_IF_ERROR(shards_->Read(split, i, &subject));
    ANAM_RETURN_IF_ERROR(rule_.Apply(subject, phrases, split, i, &narrative));
    if (narrative.dropped) continue;
    const StatusOr<int32_t> label = stream::ClassOf(subject, class_sites_);
    if (!label.ok()) return AddContext(label.status(), Cat("split ", split, ", subject ", i));
    out.bag.subject = subject.subject_id;
    out.bag.label = *label;
    std::sort(narrative.phrases.begin(), narrative.phrases.end());
    out.bag.codes.clear();
    for (const uint32_t phrase : narrative.phrases) {
      if (out.bag.codes.empty() || out.bag.codes.back().code != phrase) {
        out.bag.codes.push_back({.code = phrase, .count = 0});
      }
      ++out.bag.codes.back().count;
    }
    TakeTraits(subject, phrases, &out);  // the rule has checked the phrases of every event
    ANAM_RETURN_IF_ERROR(visit(out));
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::train
