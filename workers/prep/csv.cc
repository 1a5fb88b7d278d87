// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/csv.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace anamnesis::prep {
namespace {

constexpr std::string_view kBom = "\xEF\xBB\xBF";

}  // namespace

StatusOr<CsvTable> CsvTable::Parse(std::string_view content, std::string source) {
  CsvTable table;
  table.content_ = content;
  table.source_ = std::move(source);
  if (content.substr(0, kBom.size()) == kBom) table.position_ = kBom.size();
  ANAM_ASSIGN_OR_RETURN(const bool found, table.Record(&table.header_));
  if (!found) return InvalidArgument(table.source_, ": is empty, expected a header line");
  return table;
}

StatusOr<size_t> CsvTable::Column(const std::string& name) const {
  const auto found = std::find(header_.begin(), header_.end(), name);
  if (found != header_.end()) return static_cast<size_t>(found - header_.begin());
  std::string known;
  for (const std::string& column : header_) known += (known.empty() ? "" : ", ") + column;
  return InvalidArgument(source_, ": has no column ", name, ", found ", known);
}

bool CsvTable::HasColumn(const std::string& name) const {
  return std::find(header_.begin(), header_.end(), name) != header_.end();
}

StatusOr<bool> CsvTable::Next(std::vector<std::string>* fields) {
  ANAM_ASSIGN_OR_RETURN(const bool found, Record(fields));
  if (found && fields->size() != header_.size()) {
    return RowError("has ", fields->size(), " fields, expected ", header_.size(),
                    " as in the header");
  }
  return found;
}

StatusOr<bool> CsvTable::Record(std::vector<std::string>* fields) {
  while (position_ < content_.size() &&
         (content_[position_] == '\n' || content_.substr(position_, 2) == "\r\n")) {
    position_ += content_[position_] == '\n' ? 1 : 2;
  }
  if (position_ == content_.size()) return false;
  ++row_;
  size_t count = 0;
  for (bool last = false; !last; ++count) {
    if (count == fields->size()) fields->emplace_back();
    ANAM_RETURN_IF_ERROR(Field(&(*fields)[count], &last));
    if (!IsUtf8((*fields)[count])) return RowError("field ", count + 1, " is not UTF-8");
  }
  fields->resize(count);
  return true;
}

// Reads one field and its separator; `last` says whether the record ends with it.
Status CsvTable::Field(std::string* out, bool* last) {
  out->clear();
  const size_t size = content_.size();
  if (position_ < size && content_[position_] == '"') {
    ++position_;
    while (true) {
      const size_t quote = content_.find('"', position_);
      if (quote == std::string_view::npos) {
        return RowError("a quoted field is not closed before the end of the file");
      }
      out->append(content_.substr(position_, quote - position_));
      position_ = quote + 1;
      if (position_ == size || content_[position_] != '"') break;
      out->push_back('"');
      ++position_;
    }
  } else {
    const size_t end = std::min(size, content_.find_first_of(",\n\r", position_));
    out->append(content_.substr(position_, end - position_));
    position_ = end;
  }
  *last = true;
  if (position_ == size) return absl::OkStatus();
  if (content_[position_] == ',') {
    *last = false;
    ++position_;
  } else if (content_[position_] == '\n') {
    ++position_;
  } else if (content_.substr(position_, 2) == "\r\n") {
    position_ += 2;
  } else {
    return RowError("expected a comma or the end of the line after a field, found ",
                    content_[position_] == '"' ? "a quote" : "something else");
  }
  return absl::OkStatus();
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      ++i;
      continue;
    }
    const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    if (byte < 0xC2 || byte > 0xF4 || text.size() - i < length) return false;
    uint32_t code = byte & (0xFFu >> (length + 1));
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      code = (code << 6) | (next & 0x3F);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    if (overlong || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
    i += length;
  }
  return true;
}

bool ParseInt64(std::string_view text, int64_t* value) {
  if (text.size() > 1 && text[0] == '+') text.remove_prefix(1);
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() && !text.empty();
}

}  // namespace anamnesis::prep
