// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/tables.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/base/civil.h"
#include "workers/prep/csv.h"

namespace anamnesis::prep {
namespace {

// Bounds the table from id to entry; real vocabularies have below 100,000 entries.
constexpr int64_t kMaxTokenId = (int64_t{1} << 24) - 1;

std::string Folded(std::string_view code) {
  std::string folded(code);
  for (char& c : folded) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return folded;
}

// How missing values look in tables written by the usual tools.
bool IsMissing(const std::string& text) {
  const std::string folded = Folded(text);
  return folded.empty() || folded == "NAN" || folded == "NAT" || folded == "NONE" ||
         folded == "NULL";
}

std::string Trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// The start of the day (floor, also before 1970).
int64_t StartOfDay(int64_t time_us) {
  const int64_t into_day = ((time_us % kMicrosPerDay) + kMicrosPerDay) % kMicrosPerDay;
  return time_us - into_day;
}

}  // namespace

StatusOr<Vocabulary> Vocabulary::Parse(std::string_view content, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(CsvTable table, CsvTable::Parse(content, source));
  ANAM_ASSIGN_OR_RETURN(const size_t id_column, table.Column("token"));
  ANAM_ASSIGN_OR_RETURN(const size_t token_column, table.Column("str"));
  Vocabulary vocabulary;
  std::vector<std::string> fields;
  while (true) {
    ANAM_ASSIGN_OR_RETURN(const bool found, table.Next(&fields));
    if (!found) break;
    Entry entry;
    if (!ParseInt64(fields[id_column], &entry.id) || entry.id < 0 || entry.id > kMaxTokenId) {
      return table.RowError("token: expected an id from 0 to ", kMaxTokenId);
    }
    if (vocabulary.Find(entry.id).has_value()) {
      return table.RowError("token: id ", entry.id, " is there twice");
    }
    if (static_cast<uint64_t>(entry.id) >= vocabulary.by_id_.size()) {
      vocabulary.by_id_.resize(static_cast<size_t>(entry.id) + 1, kAbsent);
    }
    vocabulary.by_id_[static_cast<size_t>(entry.id)] =
        static_cast<uint32_t>(vocabulary.entries_.size());
    entry.token = std::move(fields[token_column]);
    vocabulary.entries_.push_back(std::move(entry));
  }
  if (vocabulary.entries_.empty())
    return InvalidArgument(source, ": has no rows, expected the vocabulary");
  return vocabulary;
}

StatusOr<Labels> Labels::Parse(std::string_view content, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(CsvTable table, CsvTable::Parse(content, source));
  ANAM_ASSIGN_OR_RETURN(const size_t id_column, table.Column("subject_id"));
  ANAM_ASSIGN_OR_RETURN(const size_t case_column, table.Column("is_case"));
  ANAM_ASSIGN_OR_RETURN(const size_t date_column, table.Column("cancerdate"));
  size_t site_column = 0;
  const bool has_sites = table.HasColumn("site");
  if (has_sites) {
    ANAM_ASSIGN_OR_RETURN(site_column, table.Column("site"));
  }
  Labels labels;
  std::map<std::string, uint32_t> sites;  // name to number in order of appearance, from 1
  std::vector<std::string> fields;
  while (true) {
    ANAM_ASSIGN_OR_RETURN(const bool found, table.Next(&fields));
    if (!found) break;
    Label label;
    if (!ParseInt64(Trimmed(fields[id_column]), &label.subject_id)) {
      return table.RowError("subject_id: expected an integer");
    }
    const std::string is_case = Trimmed(fields[case_column]);
    label.is_case = is_case == "1" || is_case == "1.0";
    if (!label.is_case && is_case != "0" && is_case != "0.0") {
      return table.RowError("is_case: expected 0 or 1");
    }
    const std::string date = Trimmed(fields[date_column]);
    if (!IsMissing(date)) {
      const std::optional<int64_t> time_us = ParseTimestampMicros(date);
      label.has_cancer_date = time_us.has_value();
      label.bad_cancer_date = !time_us.has_value();
      if (time_us.has_value()) label.cancer_day_us = StartOfDay(*time_us);
    }
    const std::string site = has_sites ? Trimmed(fields[site_column]) : "";
    if (!IsMissing(site)) {
      label.site = sites.try_emplace(site, static_cast<uint32_t>(sites.size() + 1)).first->second;
    }
    labels.rows_.push_back(label);
  }
  labels.NumberSites(sites);
  ANAM_RETURN_IF_ERROR(labels.SortRows(source));
  return labels;
}

// Numbers the sites by name instead of by appearance.
void Labels::NumberSites(const std::map<std::string, uint32_t>& sites) {
  std::vector<uint32_t> by_appearance(sites.size() + 1, 0);
  for (const auto& [name, number] : sites) {
    sites_.push_back(name);
    by_appearance[number] = static_cast<uint32_t>(sites_.size());
  }
  for (Label& label : rows_) label.site = by_appearance[label.site];
}

Status Labels::SortRows(const std::string& source) {
  std::sort(rows_.begin(), rows_.end(),
            [](const Label& a, const Label& b) { return a.subject_id < b.subject_id; });
  for (size_t i = 1; i < rows_.size(); ++i) {
    if (rows_[i - 1].subject_id == rows_[i].subject_id && rows_[i - 1] != rows_[i]) {
      return InvalidArgument(source, ": labels subject ", rows_[i].subject_id,
                             " twice and differently, expected one row a subject");
    }
  }
  // The same row twice says nothing new.
  rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
  return absl::OkStatus();
}

const Label* Labels::Find(int64_t subject_id) const {
  const auto found =
      std::lower_bound(rows_.begin(), rows_.end(), subject_id,
                       [](const Label& label, int64_t id) { return label.subject_id < id; });
  return found != rows_.end() && found->subject_id == subject_id ? &*found : nullptr;
}

StatusOr<Lookup> Lookup::Parse(std::string_view content, const std::string& source,
                               const std::string& code_column, const std::string& term_column) {
  ANAM_ASSIGN_OR_RETURN(CsvTable table, CsvTable::Parse(content, source));
  ANAM_ASSIGN_OR_RETURN(const size_t code_index, table.Column(code_column));
  ANAM_ASSIGN_OR_RETURN(const size_t term_index, table.Column(term_column));
  Lookup lookup;
  std::vector<std::string> fields;
  while (true) {
    ANAM_ASSIGN_OR_RETURN(const bool found, table.Next(&fields));
    if (!found) break;
    std::string& term = fields[term_index];
    if (Trimmed(term).empty()) {
      ++lookup.num_empty_terms_;
      continue;
    }
    const auto [place, inserted] = lookup.terms_.try_emplace(fields[code_index], term);
    if (!inserted && place->second != term) {
      ++lookup.num_conflicting_rows_;
      place->second = term;
    }
  }
  for (const auto& [code, term] : lookup.terms_) {
    const auto [place, inserted] = lookup.folded_.try_emplace(Folded(code), &term);
    if (inserted || place->second == nullptr || *place->second == term) continue;
    place->second = nullptr;
    ++lookup.num_fold_collisions_;
  }
  return lookup;
}

const std::string* Lookup::Find(std::string_view code) const {
  if (terms_.empty()) return nullptr;
  const auto exact = terms_.find(std::string(code));
  if (exact != terms_.end()) return &exact->second;
  const auto folded = folded_.find(Folded(code));
  return folded != folded_.end() ? folded->second : nullptr;
}

}  // namespace anamnesis::prep
