// SPDX-License-Identifier: Apache-2.0
// SubjectRows: every subject of a split as one row, in split order, also where neither its label
// nor its diagnosis date is known; and what a prediction says of it. Thread-compatible.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "workers/metrics/prediction_file.h"
#include "workers/prep/tables.h"
#include "workers/stream/document.h"
#include "workers/stream/row_source.h"

namespace anamnesis::train {

struct SubjectRowsOptions {
  std::string shards_directory;
  std::string split;
  std::string model_directory;  // holds the tokenizer
  // Of documents or prompts; on_missing_date: keep. Subjects without a label are never cut.
  stream::StreamSpec spec = {};
};

class SubjectRows final : public stream::RowSource {
 public:
  // `labels`: nullptr where nothing is known. Errors of DocumentMaker.
  static StatusOr<std::unique_ptr<SubjectRows>> Open(const SubjectRowsOptions& options,
                                                     const prep::Labels* labels);

  const stream::StreamTotals& totals() const override { return totals_; }
  Status SelectEpoch(int64_t epoch) override;  // there is one, 0
  int64_t num_rows() const override { return static_cast<int64_t>(subjects_.size()); }
  // Not known before a row is read: 1.
  int64_t RowTokens(int64_t) const override { return 1; }
  int64_t RowLabels(int64_t) const override { return 1; }
  StatusOr<stream::PackedRow> Row(int64_t row) override;

  // Of the rows that were read. [N]
  const std::vector<metrics::PredictedSubject>& subjects() const { return subjects_; }

 private:
  SubjectRows() = default;
  std::optional<int32_t> ClassOf(int64_t subject_id) const;

  std::unique_ptr<stream::DocumentMaker> maker_;
  std::unique_ptr<stream::DocumentMaker> uncut_maker_;  // where controls are cut; else nullptr
  std::vector<std::string> class_sites_;
  const prep::Labels* labels_ = nullptr;
  stream::StreamTotals totals_;
  stream::Document document_;
  std::vector<metrics::PredictedSubject> subjects_;
};

}  // namespace anamnesis::train
