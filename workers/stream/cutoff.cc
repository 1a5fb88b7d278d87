// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/cutoff.h"

#include <algorithm>

#include "common/base/civil.h"

namespace anamnesis::stream {
namespace {

// A thousand years: keeps calendar arithmetic within its range.
constexpr int kMaxCutoffMonths = 12'000;

Status UnknownValue(const char* key, const std::string& value, const char* expected) {
  return InvalidArgument(key, ": '", value, "' is not known; expected ", expected);
}

}  // namespace

StatusOr<CutoffRule> CutoffRule::FromSpec(const StreamSpec& spec) {
  CutoffRule rule;
  if (spec.cutoff_months < 0 || spec.cutoff_months > kMaxCutoffMonths) {
    return InvalidArgument("data.cutoff_months: ", spec.cutoff_months, " is not between 0 and ",
                           kMaxCutoffMonths);
  }
  rule.cutoff_months_ = spec.cutoff_months;
  if (spec.apply_to != "cases" && spec.apply_to != "all") {
    return UnknownValue("data.apply_to", spec.apply_to, "cases or all");
  }
  rule.cut_controls_ = spec.apply_to == "all";
  if (spec.boundary != "exclusive" && spec.boundary != "inclusive") {
    return UnknownValue("data.boundary", spec.boundary, "exclusive or inclusive");
  }
  rule.inclusive_ = spec.boundary == "inclusive";
  if (spec.on_missing_date == "error") {
    rule.missing_date_ = MissingDate::kError;
  } else if (spec.on_missing_date == "keep") {
    rule.missing_date_ = MissingDate::kKeep;
  } else if (spec.on_missing_date == "drop") {
    rule.missing_date_ = MissingDate::kDrop;
  } else {
    return UnknownValue("data.on_missing_date", spec.on_missing_date, "error, keep or drop");
  }
  return rule;
}

StatusOr<SubjectCut> CutoffRule::CutOf(const shard::Subject& subject, const std::string& split,
                                       uint64_t subject_index) const {
  SubjectCut cut;
  if (subject.is_case) {
    if (subject.cancer_time_us.has_value()) {
      cut.time_us = SubtractMonths(*subject.cancer_time_us, cutoff_months_);
      return cut;
    }
    if (missing_date_ == MissingDate::kError) {
      return InvalidArgument(
          "split ", split, ", subject ", subject_index, ": a case ",
          subject.bad_cancer_date ? "whose cancerdate cannot be read" : "without a cancerdate",
          "; correct it in the labels file, or set data.on_missing_date to keep or drop");
    }
    cut.drop_subject = missing_date_ == MissingDate::kDrop;
    return cut;
  }
  if (!cut_controls_) return cut;
  int64_t last_us = shard::kStatic;
  for (const shard::Event& event : subject.events) last_us = std::max(last_us, event.time_us);
  if (last_us != shard::kStatic) cut.time_us = SubtractMonths(last_us, cutoff_months_);
  return cut;
}

bool CutoffRule::Keeps(const SubjectCut& cut, const shard::Event& event) const {
  if (cut.drop_subject) return false;
  if (!cut.time_us.has_value() || event.time_us == shard::kStatic) return true;
  return inclusive_ ? event.time_us <= *cut.time_us : event.time_us < *cut.time_us;
}

}  // namespace anamnesis::stream
