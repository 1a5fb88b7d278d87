// SPDX-License-Identifier: Apache-2.0
#include "workers/torch_file/pickle_text.h"

#include <bit>
#include <limits>
#include <utility>

#include "common/base/check.h"
#include "common/base/status.h"
#include "common/io/pickle_ops.h"

namespace anamnesis::torch_file {

namespace op = pickle_op;

PickleText::PickleText() {
  Op(op::kProto);
  Op(2);
}

void PickleText::None() { Op(op::kNone); }

void PickleText::Bool(bool value) { Op(value ? op::kNewTrue : op::kNewFalse); }

void PickleText::Int(int64_t value) {
  if (value >= 0 && value <= 0xFF) {
    Op(op::kBinInt1);
    LittleEndian(static_cast<uint64_t>(value), 1);
  } else if (value >= 0 && value <= 0xFFFF) {
    Op(op::kBinInt2);
    LittleEndian(static_cast<uint64_t>(value), 2);
  } else if (value >= std::numeric_limits<int32_t>::min() &&
             value <= std::numeric_limits<int32_t>::max()) {
    Op(op::kBinInt);
    LittleEndian(static_cast<uint64_t>(value), 4);
  } else {
    Op(op::kLong1);
    Op(8);
    LittleEndian(static_cast<uint64_t>(value), 8);
  }
}

void PickleText::Float(double value) {
  Op(op::kBinFloat);
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  for (int shift = 56; shift >= 0; shift -= 8) Op(static_cast<unsigned char>(bits >> shift));
}

void PickleText::Text(std::string_view value) {
  Op(op::kBinUnicode);
  LittleEndian(value.size(), 4);
  bytes_ += value;
}

void PickleText::Ints(const std::vector<int64_t>& values) {
  Op(op::kMark);
  for (const int64_t value : values) Int(value);
  Op(op::kTuple);
}

void PickleText::Global(std::string_view module, std::string_view name) {
  const auto [slot, is_new] =
      globals_.emplace(Cat(module, "\n", name, "\n"), static_cast<uint32_t>(globals_.size()));
  ANAM_CHECK(slot->second <= 0xFF);
  if (is_new) {
    Op(op::kGlobal);
    bytes_ += slot->first;
  }
  Op(is_new ? op::kBinPut : op::kBinGet);
  Op(static_cast<unsigned char>(slot->second));
}

std::string PickleText::Finish() {
  Op(op::kStop);
  return std::exchange(bytes_, std::string());
}

void PickleText::LittleEndian(uint64_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) Op(static_cast<unsigned char>(value >> (8 * i)));
}

}  // namespace anamnesis::torch_file
