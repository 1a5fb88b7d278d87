// SPDX-License-Identifier: Apache-2.0
// Splits the bytes of a Python pickle into instructions, for restricted readers: every opcode that
// a reader does not list is refused with its name and offset, and nothing is ever executed here.
// Format: CPython's Lib/pickletools.py. Thread-compatible; views point into the bytes given.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/io/pickle_ops.h"

namespace anamnesis {

// One opcode with its argument.
struct PickleInstruction {
  const PickleOp* op = nullptr;
  uint64_t offset = 0;
  int64_t number = 0;       // integer arguments
  double real = 0;          // kDouble
  std::string_view text;    // kText*; the first of kLines
  std::string_view second;  // the second of kLines

  std::string At() const { return Cat(op->name, " at offset ", offset); }
};

// What a reader takes, and what its refusal says after "opcode X at offset N is refused: ".
struct PickleDialect {
  std::bitset<256> accepted;
  std::string refusal;
};

class PickleScanner {
 public:
  // Both must outlive the scanner.
  PickleScanner(std::string_view bytes, const PickleDialect& dialect)
      : bytes_(bytes), dialect_(dialect) {}

  bool at_end() const { return position_ == bytes_.size(); }
  uint64_t position() const { return position_; }

  // kInvalidArgument at the end, for a byte that is no opcode, a refused opcode, an argument that
  // does not fit into the bytes and an integer of more than 64 bits.
  Status Next(PickleInstruction* out);

 private:
  Status Argument(PickleInstruction* out);
  Status Take(const PickleInstruction& in, uint64_t size_bytes, std::string_view* taken);
  Status Integer(PickleInstruction* out, uint64_t size_bytes, bool is_signed);
  Status Frame(PickleInstruction* out);
  Status Double(PickleInstruction* out);
  Status Counted(PickleInstruction* out, uint64_t length_bytes);
  Status Long(PickleInstruction* out, uint64_t length_bytes);
  Status Line(const PickleInstruction& in, std::string_view* line);

  std::string_view bytes_;
  const PickleDialect& dialect_;
  uint64_t position_ = 0;
};

}  // namespace anamnesis
