// SPDX-License-Identifier: Apache-2.0
#include "workers/train/subject_rows.h"

#include <algorithm>

namespace anamnesis::train {

StatusOr<std::unique_ptr<SubjectRows>> SubjectRows::Open(const SubjectRowsOptions& options,
                                                         const prep::Labels* labels) {
  std::unique_ptr<SubjectRows> rows(new SubjectRows());
  rows->class_sites_ = options.spec.class_sites;
  rows->labels_ = labels;
  stream::StreamSpec spec = options.spec;
  // The class of a document is not part of it: a case of an unknown site is predicted, too.
  if (!spec.has_prompt()) spec.class_sites.clear();
  const auto open = [&] {
    return stream::DocumentMaker::Open(options.shards_directory, options.split,
                                       options.model_directory, spec);
  };
  ANAM_ASSIGN_OR_RETURN(rows->maker_, open());
  if (spec.apply_to == "all") {
    spec.apply_to = "cases";
    ANAM_ASSIGN_OR_RETURN(rows->uncut_maker_, open());
  }
  const uint64_t num_subjects = rows->maker_->split().num_subjects;
  rows->subjects_.resize(num_subjects);
  rows->totals_.num_subjects = static_cast<int64_t>(num_subjects);
  rows->totals_.num_documents = rows->totals_.num_subjects;
  return rows;
}

Status SubjectRows::SelectEpoch(int64_t epoch) {
  if (epoch == 0) return absl::OkStatus();
  return InvalidArgument("epoch ", epoch, ": a prediction has one, 0");
}

std::optional<int32_t> SubjectRows::ClassOf(int64_t subject_id) const {
  const prep::Label* label = labels_ == nullptr ? nullptr : labels_->Find(subject_id);
  if (label == nullptr) return std::nullopt;
  if (!label->is_case) return 0;
  if (class_sites_.empty()) return 1;
  if (label->site == 0) return std::nullopt;
  const auto found =
      std::find(class_sites_.begin(), class_sites_.end(), labels_->sites()[label->site - 1]);
  if (found == class_sites_.end()) return std::nullopt;
  return static_cast<int32_t>(found - class_sites_.begin()) + 1;
}

StatusOr<stream::PackedRow> SubjectRows::Row(int64_t row) {
  if (row < 0 || row >= num_rows()) {
    return InvalidArgument("row ", row, " of a split of ", num_rows(), " subjects");
  }
  const auto index = static_cast<uint64_t>(row);
  ANAM_RETURN_IF_ERROR(maker_->Make(index, &document_));
  const bool known = labels_ != nullptr && labels_->Find(document_.subject_id) != nullptr;
  if (!known && uncut_maker_ != nullptr) {
    ANAM_RETURN_IF_ERROR(uncut_maker_->Make(index, &document_));
  }
  metrics::PredictedSubject& subject = subjects_[index];
  subject.subject_id = document_.subject_id;
  subject.label = ClassOf(document_.subject_id);
  if (document_.narrative.last_time_us != shard::kStatic) {
    subject.time_us = document_.narrative.last_time_us;
  }
  stream::PackedRow packed;
  packed.ids = document_.ids;
  packed.segment_lengths = {static_cast<int32_t>(document_.ids.size())};
  packed.num_tokens = static_cast<int64_t>(document_.ids.size());
  packed.subject_id = row;  // scores are put in the order of the split
  packed.label = 0;         // no loss is made
  packed.num_prompt_ids = document_.num_prompt_ids;
  return packed;
}

}  // namespace anamnesis::train
