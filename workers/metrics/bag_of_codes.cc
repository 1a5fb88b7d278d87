// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/bag_of_codes.h"

#include <algorithm>
#include <map>

namespace anamnesis::metrics {
namespace {

Status CheckBag(const Bag& bag, int num_classes) {
  if (bag.label < 0 || bag.label >= num_classes) {
    return InvalidArgument("subject ", bag.subject, ": label ", bag.label,
                           ", expected one from 0 to ", num_classes - 1);
  }
  for (const CodeCount& entry : bag.codes) {
    if (entry.count < 0) {
      return InvalidArgument("subject ", bag.subject, ": code ", entry.code, " is there ",
                             entry.count, " times");
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<BagOfCodes> BagOfCodes::Fit(std::vector<Bag> train, int num_classes,
                                     const BagOptions& options) {
  std::sort(train.begin(), train.end(),
            [](const Bag& a, const Bag& b) { return a.subject < b.subject; });
  BagOfCodes fitted;
  fitted.value_ = options.value;
  std::vector<int32_t> labels;
  for (size_t i = 0; i < train.size(); ++i) {
    const Bag& bag = train[i];
    ANAM_RETURN_IF_ERROR(CheckBag(bag, num_classes));
    if (i > 0 && train[i - 1].subject == bag.subject) {
      return InvalidArgument("subject ", bag.subject, " has two bags of codes, expected one");
    }
    labels.push_back(bag.label);
    for (const CodeCount& entry : bag.codes) {
      if (entry.count > 0) fitted.codes_.push_back(entry.code);
    }
  }
  std::sort(fitted.codes_.begin(), fitted.codes_.end());
  fitted.codes_.erase(std::unique(fitted.codes_.begin(), fitted.codes_.end()), fitted.codes_.end());
  ANAM_ASSIGN_OR_RETURN(fitted.model_,
                        FitLogistic(fitted.MatrixOf(train), labels, num_classes, options.logistic));
  return fitted;
}

SparseMatrix BagOfCodes::MatrixOf(const std::vector<Bag>& bags) const {
  SparseMatrix matrix;
  matrix.num_columns = num_features();
  for (const Bag& bag : bags) {
    std::map<int64_t, int64_t> counts;
    for (const CodeCount& entry : bag.codes) counts[entry.code] += entry.count;
    for (const auto& [code, count] : counts) {
      const auto found = std::lower_bound(codes_.begin(), codes_.end(), code);
      if (count <= 0 || found == codes_.end() || *found != code) continue;
      matrix.AddValue(static_cast<int32_t>(found - codes_.begin()),
                      value_ == CodeValue::kPresence ? 1 : static_cast<double>(count));
    }
    matrix.EndRow();
  }
  return matrix;
}

StatusOr<Rows> BagOfCodes::Score(const std::vector<Bag>& bags) const {
  Rows rows;
  rows.num_classes = model_.num_classes;
  for (const Bag& bag : bags) {
    ANAM_RETURN_IF_ERROR(CheckBag(bag, model_.num_classes));
    rows.subjects.push_back(bag.subject);
    rows.labels.push_back(bag.label);
  }
  ANAM_ASSIGN_OR_RETURN(rows.logits_NC, LogitsOf(model_, MatrixOf(bags)));
  return rows;
}

}  // namespace anamnesis::metrics
