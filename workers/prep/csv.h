// SPDX-License-Identifier: Apache-2.0
// CSV by RFC 4180: quoted fields with "" and line breaks, LF or CRLF, a UTF-8 BOM, a header line.
// Values stay text
// ("nan" is a string). Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::prep {

class CsvTable {
 public:
  // Reads the header. `content` must outlive the table. `source` (a path) starts every error.
  static StatusOr<CsvTable> Parse(std::string_view content, std::string source);

  // Position of a column. kInvalidArgument lists the columns that are there.
  StatusOr<size_t> Column(const std::string& name) const;
  bool HasColumn(const std::string& name) const;

  // The next row into `fields`; false at the end. Empty lines are passed over. kInvalidArgument
  // names the row: the header is row 1, and a row is counted where it begins, by records (not
  // lines).
  StatusOr<bool> Next(std::vector<std::string>* fields);
  uint64_t row() const { return row_; }
  // "FILE: row N: parts…".
  template <typename... Parts>
  Status RowError(const Parts&... parts) const {
    return InvalidArgument(source_, ": row ", row_, ": ", parts...);
  }
  const std::string& source() const { return source_; }

 private:
  StatusOr<bool> Record(std::vector<std::string>* fields);
  Status Field(std::string* out, bool* last);

  std::string_view content_;
  std::string source_;
  size_t position_ = 0;
  uint64_t row_ = 0;
  std::vector<std::string> header_;
};

// Whether `text` is well-formed UTF-8 (no surrogates, no overlong forms).
bool IsUtf8(std::string_view text);

// A whole decimal integer with an optional sign; nothing else around it.
bool ParseInt64(std::string_view text, int64_t* value);

}  // namespace anamnesis::prep
