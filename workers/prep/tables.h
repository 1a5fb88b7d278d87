// SPDX-License-Identifier: Apache-2.0
// The CSV tables of the seed layout: vocabulary, labels and lookups. Immutable after parsing, then
// thread-safe. Errors: kInvalidArgument with file and row; no cell is ever quoted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::prep {

// vocab.csv: `token` (id ≥ 0, unique), `str` (a string, also where it looks like a number or like
// "nan"); other columns are not read.
class Vocabulary {
 public:
  struct Entry {
    int64_t id = 0;
    std::string token;
  };
  static StatusOr<Vocabulary> Parse(std::string_view content, const std::string& source);

  const std::vector<Entry>& entries() const { return entries_; }  // in file order
  // Position in entries(), or nothing.
  std::optional<uint32_t> Find(int64_t id) const {
    if (id < 0 || static_cast<uint64_t>(id) >= by_id_.size()) return std::nullopt;
    const uint32_t position = by_id_[static_cast<size_t>(id)];
    return position == kAbsent ? std::nullopt : std::optional<uint32_t>(position);
  }

 private:
  static constexpr uint32_t kAbsent = ~0u;
  std::vector<Entry> entries_;
  std::vector<uint32_t> by_id_;
};

// 24 bytes: one is kept for every subject of the cohort.
struct Label {
  int64_t subject_id = 0;
  int64_t cancer_day_us = 0;  // 00:00 UTC of the date, where has_cancer_date
  uint32_t site = 0;          // position in Labels::sites() + 1; 0 where none is given
  bool is_case = false;
  bool has_cancer_date = false;
  bool bad_cancer_date = false;  // given, not readable

  std::optional<int64_t> cancer_time_us() const {
    return has_cancer_date ? std::optional<int64_t>(cancer_day_us) : std::nullopt;
  }
  bool operator==(const Label&) const = default;
};

// labels.csv: `subject_id`, `is_case` (0 or 1), `cancerdate` (ISO date; empty, nan, NaT, None, null
// = missing) and, where there is one, `site`. A time of day behind the date is checked and dropped:
// anchors mean 00:00 UTC.
class Labels {
 public:
  static StatusOr<Labels> Parse(std::string_view content, const std::string& source);

  const Label* Find(int64_t subject_id) const;
  const std::vector<Label>& rows() const { return rows_; }          // by subject id
  const std::vector<std::string>& sites() const { return sites_; }  // sorted

 private:
  void NumberSites(const std::map<std::string, uint32_t>& sites);
  Status SortRows(const std::string& source);

  std::vector<Label> rows_;
  std::vector<std::string> sites_;
};

// A lookup from code to term. Case-sensitive first; a code that is not there in its own case is
// looked up folded (ASCII letters), only where all codes that fold alike have one term.
class Lookup {
 public:
  Lookup() = default;  // empty
  static StatusOr<Lookup> Parse(std::string_view content, const std::string& source,
                                const std::string& code_column, const std::string& term_column);

  // nullptr where there is no term.
  const std::string* Find(std::string_view code) const;

  uint64_t size() const { return terms_.size(); }
  uint64_t num_fold_collisions() const {
    return num_fold_collisions_;
  }  // folded keys with different terms
  uint64_t num_conflicting_rows() const {
    return num_conflicting_rows_;
  }  // a code again, with another term: the last wins
  uint64_t num_empty_terms() const { return num_empty_terms_; }  // rows without a term, passed over

 private:
  std::unordered_map<std::string, std::string> terms_;
  std::unordered_map<std::string, const std::string*> folded_;  // nullptr where ambiguous
  uint64_t num_fold_collisions_ = 0, num_conflicting_rows_ = 0, num_empty_terms_ = 0;
};

}  // namespace anamnesis::prep
