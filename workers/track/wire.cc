// SPDX-License-Identifier: Apache-2.0
#include "workers/track/wire.h"

#include <bit>
#include <cstring>

namespace anamnesis::track {
namespace {

static_assert(std::endian::native == std::endian::little);

template <typename T>
void PutFixed(T value, std::string* out) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

}  // namespace

void WireWriter::Varint(uint64_t value) {
  for (; value >= 128; value >>= 7) bytes_ += static_cast<char>(value | 128);
  bytes_ += static_cast<char>(value);
}

WireWriter& WireWriter::Int(int field, int64_t value) {
  Varint(WireKey(field, kVarint));
  Varint(static_cast<uint64_t>(value));
  return *this;
}

WireWriter& WireWriter::Double(int field, double value) {
  Varint(WireKey(field, kFixed64));
  PutFixed(value, &bytes_);
  return *this;
}

WireWriter& WireWriter::Float(int field, float value) {
  Varint(WireKey(field, kFixed32));
  PutFixed(value, &bytes_);
  return *this;
}

WireWriter& WireWriter::Bytes(int field, std::string_view value) {
  Varint(WireKey(field, kBytes));
  Varint(value.size());
  bytes_.append(value);
  return *this;
}

WireWriter& WireWriter::Text(int field, std::string_view value) {
  return value.empty() ? *this : Bytes(field, value);
}

bool WireReader::Next(Field* field) {
  *field = Field{};
  if (rest_.empty() || !Varint(&field->key)) return false;
  switch (field->key & 7) {
    case kVarint:
      return Varint(&field->number);
    case kFixed64:
      return Take(8, field);
    case kBytes: {
      uint64_t size_bytes = 0;
      return Varint(&size_bytes) && Take(size_bytes, field);
    }
    case kFixed32:
      return Take(4, field);
    default:
      return false;
  }
}

bool WireReader::Varint(uint64_t* value) {
  *value = 0;
  for (int shift = 0; !rest_.empty() && shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return true;
  }
  return false;
}

bool WireReader::Take(uint64_t size_bytes, Field* field) {
  if (size_bytes > rest_.size()) return false;
  field->bytes = rest_.substr(0, size_bytes);
  rest_.remove_prefix(size_bytes);
  return true;
}

}  // namespace anamnesis::track
