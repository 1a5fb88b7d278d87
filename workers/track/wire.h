// SPDX-License-Identifier: Apache-2.0
// Protobuf's wire format (protobuf.dev/programming-guides/encoding) for the few messages that the
// trackers write: a field is its key (number << 3 | type) as a varint and its value. No generated
// code: the messages are TensorBoard's and W&B's, and this folder needs two dozen fields of them.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace anamnesis::track {

enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

constexpr uint64_t WireKey(int field, WireType type) {
  return static_cast<uint64_t>(field) << 3 | type;
}

// One message, built field by field. Defaults (0, "") are written when asked for.
class WireWriter {
 public:
  WireWriter& Int(int field, int64_t value);
  WireWriter& Double(int field, double value);
  WireWriter& Float(int field, float value);
  // A string, or a message inside this one.
  WireWriter& Bytes(int field, std::string_view value);
  // A string that is left out when it is empty, as protobuf's own writers do.
  WireWriter& Text(int field, std::string_view value);
  WireWriter& Message(int field, const WireWriter& message) { return Bytes(field, message.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  void Varint(uint64_t value);

  std::string bytes_;
};

// Reads the fields of one message in their order. Stops at what it does not understand.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}

  // A length-delimited or fixed field has its content in `bytes`, a varint its value in `number`.
  struct Field {
    uint64_t key = 0;  // WireKey of number and type
    uint64_t number = 0;
    std::string_view bytes;
  };
  bool Next(Field* field);

 private:
  bool Varint(uint64_t* value);
  bool Take(uint64_t size_bytes, Field* field);

  std::string_view rest_;
};

}  // namespace anamnesis::track
