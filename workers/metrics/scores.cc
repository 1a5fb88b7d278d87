// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/scores.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace anamnesis::metrics {
namespace {

struct RowView {
  int64_t subject = 0;
  int32_t label = 0;
  std::span<const double> logits_C;
};

bool Before(const RowView& a, const RowView& b) {
  if (a.subject != b.subject) return a.subject < b.subject;
  if (a.label != b.label) return a.label < b.label;
  return std::lexicographical_compare(a.logits_C.begin(), a.logits_C.end(), b.logits_C.begin(),
                                      b.logits_C.end());
}

Status CheckShape(const Rows& rows, int num_classes) {
  if (rows.num_classes != num_classes) {
    return InvalidArgument("scores: one part has ", rows.num_classes, " classes, another ",
                           num_classes);
  }
  const size_t count = rows.subjects.size();
  if (rows.labels.size() != count ||
      rows.logits_NC.size() != count * static_cast<size_t>(num_classes)) {
    return InvalidArgument("scores: ", count, " subjects, ", rows.labels.size(), " labels and ",
                           rows.logits_NC.size(), " logits of ", num_classes, " classes");
  }
  return absl::OkStatus();
}

Status CheckRow(const RowView& row, int num_classes) {
  if (row.label < 0 || row.label >= num_classes) {
    return InvalidArgument("subject ", row.subject, ": label ", row.label,
                           ", expected one from 0 to ", num_classes - 1);
  }
  for (size_t c = 0; c < row.logits_C.size(); ++c) {
    if (!std::isfinite(row.logits_C[c])) {
      return InvalidArgument("subject ", row.subject, ": the score of class ", c, " is ",
                             row.logits_C[c], ", expected a finite number");
    }
  }
  return absl::OkStatus();
}

}  // namespace

void Rows::Add(int64_t subject, int32_t label, std::span<const double> logits_C) {
  subjects.push_back(subject);
  labels.push_back(label);
  logits_NC.insert(logits_NC.end(), logits_C.begin(), logits_C.end());
}

StatusOr<ScoredSplit> ScoredSplit::Create(const std::vector<Rows>& parts) {
  if (parts.empty()) return InvalidArgument("scores: no parts");
  const int num_classes = parts.front().num_classes;
  if (num_classes < 2) {
    return InvalidArgument("scores: ", num_classes, " classes, expected at least 2");
  }
  std::vector<RowView> views;
  for (const Rows& part : parts) {
    ANAM_RETURN_IF_ERROR(CheckShape(part, num_classes));
    for (size_t i = 0; i < part.subjects.size(); ++i) {
      const auto width = static_cast<size_t>(num_classes);
      views.push_back(
          {part.subjects[i], part.labels[i], {part.logits_NC.data() + i * width, width}});
      ANAM_RETURN_IF_ERROR(CheckRow(views.back(), num_classes));
    }
  }
  std::sort(views.begin(), views.end(), Before);
  ScoredSplit split;
  split.num_classes_ = num_classes;
  for (const RowView& view : views) split.Append(view.subject, view.label, view.logits_C);
  return split;
}

void ScoredSplit::Append(int64_t subject, int32_t label, std::span<const double> logits_C) {
  subjects_.push_back(subject);
  labels_.push_back(label);
  logits_NC_.insert(logits_NC_.end(), logits_C.begin(), logits_C.end());
  const auto largest = std::max_element(logits_C.begin(), logits_C.end());
  predicted_.push_back(static_cast<int32_t>(largest - logits_C.begin()));
  const size_t first = softmax_NC_.size();
  double sum = 0;
  for (const double logit : logits_C) {
    softmax_NC_.push_back(std::exp(logit - *largest));
    sum += softmax_NC_.back();
  }
  double risk = 0;
  for (size_t c = 0; c < logits_C.size(); ++c) {
    softmax_NC_[first + c] /= sum;
    if (c > 0) risk += softmax_NC_[first + c];
  }
  risks_.push_back(risk);
}

int64_t ScoredSplit::num_subjects() const {
  int64_t count = 0;
  for (size_t i = 0; i < subjects_.size(); ++i) {
    count += i == 0 || subjects_[i] != subjects_[i - 1] ? 1 : 0;
  }
  return count;
}

int64_t ScoredSplit::num_positives() const {
  return std::count_if(labels_.begin(), labels_.end(), [](int32_t label) { return label != 0; });
}

ScoredSplit ScoredSplit::Select(const std::function<bool(int64_t subject)>& wanted) const {
  ScoredSplit chosen;
  chosen.num_classes_ = num_classes_;
  for (int64_t row = 0; row < num_rows(); ++row) {
    const auto i = static_cast<size_t>(row);
    if (wanted(subjects_[i])) chosen.Append(subjects_[i], labels_[i], logits(row));
  }
  return chosen;
}

}  // namespace anamnesis::metrics
