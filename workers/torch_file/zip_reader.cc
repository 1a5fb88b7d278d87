// SPDX-License-Identifier: Apache-2.0
#include "workers/torch_file/zip_reader.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/base/crc32.h"
#include "workers/torch_file/zip_format.h"

namespace anamnesis::torch_file {
namespace {

constexpr uint16_t kFlagEncrypted = 0x0001, kFlagDescriptor = 0x0008, kFlagPatch = 0x0020,
                   kFlagStrongEncryption = 0x0040, kFlagMaskedHeader = 0x2000;
constexpr uint64_t kMaxCommentBytes = 0xFFFF;
constexpr uint64_t kMaxDirectoryBytes = uint64_t{256} << 20;

// Little-endian fields of one fixed-size record.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : bytes_(bytes) {}
  uint16_t U16(size_t at) const { return static_cast<uint16_t>(Number(at, 2)); }
  uint32_t U32(size_t at) const { return static_cast<uint32_t>(Number(at, 4)); }
  uint64_t U64(size_t at) const { return Number(at, 8); }

 private:
  uint64_t Number(size_t at, size_t count) const {
    uint64_t value = 0;
    for (size_t i = count; i-- > 0;) {
      value = (value << 8) | static_cast<unsigned char>(bytes_[at + i]);
    }
    return value;
  }
  std::string_view bytes_;
};

// The zip64 extra field (4.5.3) holds, in this order, those of size, stored size and offset whose
// field in the record is all ones.
Status ReadZip64Extra(std::string_view extra, const std::string& where, uint64_t* size,
                      uint64_t* stored_size, uint64_t* offset) {
  const bool wanted = *size == zip::kNone32 || *stored_size == zip::kNone32 ||
                      (offset != nullptr && *offset == zip::kNone32);
  while (wanted && extra.size() >= 4) {
    const Fields head(extra);
    const uint16_t tag = head.U16(0), length = head.U16(2);
    if (length > extra.size() - 4) break;
    std::string_view field = extra.substr(4, length);
    extra.remove_prefix(size_t{4} + length);
    if (tag != zip::kZip64Tag) continue;
    for (uint64_t* value : {size, stored_size, offset}) {
      if (value == nullptr || *value != zip::kNone32) continue;
      if (field.size() < 8) return DataLoss(where, ": its zip64 field is too short");
      *value = Fields(field).U64(0);
      field.remove_prefix(8);
    }
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace

struct ZipFile::End {
  uint64_t num_entries = 0;
  uint64_t directory_bytes = 0;
  uint64_t directory_offset = 0;
  uint64_t limit = 0;  // where the directory must have ended
};

StatusOr<ZipFile> ZipFile::Open(const std::string& path) {
  ZipFile file;
  file.path_ = path;
  ANAM_ASSIGN_OR_RETURN(file.fd_, OpenForRead(path));
  ANAM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
  End end;
  ANAM_RETURN_IF_ERROR(file.FindEnd(size, &end));
  ANAM_RETURN_IF_ERROR(file.ReadDirectory(end));
  for (size_t i = 0; i < file.entries_.size(); ++i) {
    if (!file.by_name_.emplace(file.entries_[i].name, i).second) {
      return DataLoss(path, ": two entries have the same name");
    }
  }
  return file;
}

const ZipEntry* ZipFile::Find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

Status ZipFile::Read(const ZipEntry& entry, uint64_t offset, void* out, uint64_t size_bytes) const {
  if (offset > entry.size_bytes || size_bytes > entry.size_bytes - offset) {
    return Internal(path_, ": a read beyond an entry");
  }
  ANAM_RETURN_IF_ERROR(ReadAt(fd_, path_, entry.data_offset + offset, out, size_bytes));
  if (size_bytes != entry.size_bytes || entry.crc32 == 0) return absl::OkStatus();
  const uint32_t found = Crc32(out, size_bytes);
  if (found == entry.crc32) return absl::OkStatus();
  return DataLoss(path_, ": entry at byte ", entry.header_offset, ": CRC-32 ", found,
                  ", its header says ", entry.crc32);
}

StatusOr<std::string> ZipFile::ReadAll(const ZipEntry& entry, uint64_t most_bytes) const {
  if (entry.size_bytes > most_bytes) {
    return DataLoss(path_, ": entry at byte ", entry.header_offset, " has ", entry.size_bytes,
                    " bytes, expected at most ", most_bytes);
  }
  std::string bytes(entry.size_bytes, '\0');
  ANAM_RETURN_IF_ERROR(Read(entry, 0, bytes.data(), bytes.size()));
  return bytes;
}

// 4.3.16: the record is the last thing in the file but for a comment whose length it states.
Status ZipFile::FindEnd(uint64_t file_bytes, End* end) const {
  if (file_bytes < zip::kEndBytes) {
    return DataLoss(path_, ": ", file_bytes, " bytes are no zip file (truncated?)");
  }
  const uint64_t tail_bytes = std::min(file_bytes, zip::kEndBytes + kMaxCommentBytes);
  std::string tail(tail_bytes, '\0');
  ANAM_RETURN_IF_ERROR(ReadAt(fd_, path_, file_bytes - tail_bytes, tail.data(), tail.size()));
  for (size_t at = tail.size() - zip::kEndBytes + 1; at-- > 0;) {
    const Fields fields(std::string_view(tail).substr(at, zip::kEndBytes));
    if (fields.U32(0) != zip::kEndSignature) continue;
    if (fields.U16(20) != tail.size() - at - zip::kEndBytes) continue;
    if (fields.U16(4) != 0 || fields.U16(6) != 0 || fields.U16(8) != fields.U16(10)) {
      return DataLoss(path_, ": the zip file is spread over several files");
    }
    *end = {fields.U16(10), fields.U32(12), fields.U32(16), file_bytes - tail_bytes + at};
    return ReadZip64End(end->limit, end);
  }
  return DataLoss(path_, ": no end of a zip file's directory was found (truncated?)");
}

// 4.3.14, 4.3.15: the locator lies right before the end record, the zip64 record before that.
Status ZipFile::ReadZip64End(uint64_t end_offset, End* end) const {
  if (end_offset >= zip::kLocatorBytes) {
    std::string locator(zip::kLocatorBytes, '\0');
    const uint64_t locator_offset = end_offset - zip::kLocatorBytes;
    ANAM_RETURN_IF_ERROR(ReadAt(fd_, path_, locator_offset, locator.data(), locator.size()));
    const Fields at(locator);
    if (at.U32(0) == zip::kLocatorSignature) {
      const uint64_t record_offset = at.U64(8);
      std::string record(zip::kEnd64Bytes, '\0');
      if (record_offset > locator_offset || locator_offset - record_offset < record.size()) {
        return DataLoss(path_, ": zip64: the end record's offset ", record_offset,
                        " lies outside the file");
      }
      ANAM_RETURN_IF_ERROR(ReadAt(fd_, path_, record_offset, record.data(), record.size()));
      const Fields fields(record);
      if (fields.U32(0) != zip::kEnd64Signature || fields.U32(16) != 0 || fields.U32(20) != 0 ||
          fields.U64(24) != fields.U64(32)) {
        return DataLoss(path_, ": zip64: no end record at byte ", record_offset);
      }
      *end = {fields.U64(32), fields.U64(40), fields.U64(48), record_offset};
    }
  }
  if (end->directory_offset > end->limit ||
      end->directory_bytes > end->limit - end->directory_offset ||
      end->directory_bytes > kMaxDirectoryBytes) {
    return DataLoss(path_, ": the zip directory (", end->directory_bytes, " bytes at byte ",
                    end->directory_offset, ") does not fit into the file");
  }
  if (end->num_entries > end->directory_bytes / zip::kCentralBytes) {
    return DataLoss(path_, ": ", end->num_entries, " entries do not fit into a zip directory of ",
                    end->directory_bytes, " bytes");
  }
  return absl::OkStatus();
}

// 4.3.12. Overlap is seen by walking the entries in the order of their offsets.
Status ZipFile::ReadDirectory(const End& end) {
  directory_.resize(end.directory_bytes);
  ANAM_RETURN_IF_ERROR(
      ReadAt(fd_, path_, end.directory_offset, directory_.data(), directory_.size()));
  std::vector<uint16_t> flags;
  std::string_view rest = directory_;
  for (uint64_t i = 0; i < end.num_entries; ++i) {
    const std::string where = Cat(path_, ": zip entry ", i);
    if (rest.size() < zip::kCentralBytes || Fields(rest).U32(0) != zip::kCentralSignature) {
      return DataLoss(where, ": no directory record at byte ",
                      end.directory_offset + directory_.size() - rest.size());
    }
    const Fields fields(rest);
    const uint16_t name_bytes = fields.U16(28), extra_bytes = fields.U16(30);
    const size_t record_bytes =
        zip::kCentralBytes + name_bytes + size_t{extra_bytes} + fields.U16(32);
    if (rest.size() < record_bytes) return DataLoss(where, ": its directory record is cut short");
    constexpr uint16_t kRefused =
        kFlagEncrypted | kFlagPatch | kFlagStrongEncryption | kFlagMaskedHeader;
    if ((fields.U16(8) & kRefused) != 0) return DataLoss(where, ": is encrypted or patched");
    if (fields.U16(10) != 0) {
      return DataLoss(where, ": compression method ", fields.U16(10),
                      ", expected 0 (stored, as torch.save writes it)");
    }
    ZipEntry entry;
    entry.name = std::string(rest.substr(zip::kCentralBytes, name_bytes));
    entry.crc32 = fields.U32(16);
    uint64_t stored_size = fields.U32(20), size = fields.U32(24), offset = fields.U32(42);
    ANAM_RETURN_IF_ERROR(ReadZip64Extra(rest.substr(zip::kCentralBytes + name_bytes, extra_bytes),
                                        where, &size, &stored_size, &offset));
    if (size != stored_size) {
      return DataLoss(where, ": ", stored_size, " stored bytes stand for ", size,
                      ", expected equal sizes");
    }
    entry.size_bytes = size;
    entry.header_offset = offset;
    entries_.push_back(std::move(entry));
    flags.push_back(fields.U16(8));
    rest.remove_prefix(record_bytes);
  }
  std::vector<size_t> order(entries_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return entries_[a].header_offset < entries_[b].header_offset;
  });
  std::vector<ZipEntry> sorted;
  uint64_t previous_end = 0;
  for (const size_t i : order) {
    if (entries_[i].header_offset < previous_end) {
      return DataLoss(path_, ": zip entry ", i, ": begins at byte ", entries_[i].header_offset,
                      " inside the entry before it, which ends at byte ", previous_end);
    }
    ANAM_RETURN_IF_ERROR(
        AddContext(CheckLocalHeader(end.directory_offset, &entries_[i], flags[i], &previous_end),
                   Cat(path_, ": zip entry ", i)));
    sorted.push_back(entries_[i]);
  }
  entries_ = std::move(sorted);
  return absl::OkStatus();
}

// 4.3.7. What the local header repeats must agree with the directory.
Status ZipFile::CheckLocalHeader(uint64_t directory_offset, ZipEntry* entry, uint16_t flags,
                                 uint64_t* entry_end) const {
  const uint64_t at = entry->header_offset;
  if (at > directory_offset || directory_offset - at < zip::kLocalBytes) {
    return DataLoss("its header at byte ", at, " lies outside the entries");
  }
  std::string header(zip::kLocalBytes, '\0');
  ANAM_RETURN_IF_ERROR(ReadAt(fd_, path_, at, header.data(), header.size()));
  const Fields fields(header);
  const uint64_t name_bytes = fields.U16(26), extra_bytes = fields.U16(28);
  if (fields.U32(0) != zip::kLocalSignature) return DataLoss("no entry header at byte ", at);
  if (directory_offset - at - zip::kLocalBytes < name_bytes + extra_bytes) {
    return DataLoss("its header at byte ", at, " is cut short");
  }
  std::string rest(name_bytes + extra_bytes, '\0');
  ANAM_RETURN_IF_ERROR(ReadAt(fd_, path_, at + zip::kLocalBytes, rest.data(), rest.size()));
  const bool descriptor = (flags & kFlagDescriptor) != 0;
  uint64_t stored_size = fields.U32(18), size = fields.U32(22);
  ANAM_RETURN_IF_ERROR(ReadZip64Extra(std::string_view(rest).substr(name_bytes),
                                      Cat("header at byte ", at), &size, &stored_size, nullptr));
  const bool same_sizes = size == entry->size_bytes && stored_size == entry->size_bytes &&
                          fields.U32(14) == entry->crc32;
  if (fields.U16(8) != 0 || rest.substr(0, name_bytes) != entry->name ||
      ((fields.U16(6) ^ flags) & kFlagDescriptor) != 0 || (!descriptor && !same_sizes)) {
    return DataLoss("its header at byte ", at, " and the zip directory disagree");
  }
  entry->data_offset = at + zip::kLocalBytes + name_bytes + extra_bytes;
  if (entry->size_bytes > directory_offset - entry->data_offset) {
    return DataLoss(entry->size_bytes, " bytes at byte ", entry->data_offset,
                    " reach beyond the entries, which end at byte ", directory_offset);
  }
  *entry_end = entry->data_offset + entry->size_bytes;
  return descriptor ? CheckDescriptor(*entry, directory_offset, entry_end) : absl::OkStatus();
}

// 4.3.9: an optional signature, the CRC-32 and both sizes, in four or eight bytes each.
Status ZipFile::CheckDescriptor(const ZipEntry& entry, uint64_t directory_offset,
                                uint64_t* entry_end) const {
  std::string bytes(std::min<uint64_t>(24, directory_offset - *entry_end), '\0');
  ANAM_RETURN_IF_ERROR(ReadAt(fd_, path_, *entry_end, bytes.data(), bytes.size()));
  for (const bool with_signature : {true, false}) {
    for (const size_t width : {size_t{4}, size_t{8}}) {
      const size_t start = with_signature ? 4 : 0;
      const size_t length = start + 4 + 2 * width;
      if (bytes.size() < length) continue;
      const Fields fields(bytes);
      if (with_signature && fields.U32(0) != zip::kDescriptorSignature) continue;
      const auto number = [&](size_t at) { return width == 4 ? fields.U32(at) : fields.U64(at); };
      if (fields.U32(start) != entry.crc32 || number(start + 4) != entry.size_bytes ||
          number(start + 4 + width) != entry.size_bytes) {
        continue;
      }
      *entry_end += length;
      return absl::OkStatus();
    }
  }
  return DataLoss("no data descriptor that agrees with the zip directory at byte ", *entry_end);
}

}  // namespace anamnesis::torch_file
