// SPDX-License-Identifier: Apache-2.0
#include "common/io/pickle_scan.h"

#include <bit>

namespace anamnesis {
namespace {

uint64_t LittleEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

}  // namespace

Status PickleScanner::Next(PickleInstruction* out) {
  if (at_end()) {
    return InvalidArgument("pickle ends at offset ", position_,
                           ", expected an opcode (truncated?)");
  }
  const auto code = static_cast<unsigned char>(bytes_[position_]);
  out->op = FindPickleOp(code);
  out->offset = position_;
  if (out->op == nullptr) {
    return InvalidArgument("byte ", static_cast<int>(code), " at offset ", position_,
                           " is no pickle opcode");
  }
  if (!dialect_.accepted[code]) {
    return InvalidArgument("opcode ", out->At(), " is refused: ", dialect_.refusal);
  }
  ++position_;
  return Argument(out);
}

Status PickleScanner::Argument(PickleInstruction* out) {
  switch (out->op->argument) {
    case PickleArgument::kRefused:
      return Internal("pickle opcode ", out->At(), " is accepted and has no argument form");
    case PickleArgument::kNone:
      return absl::OkStatus();
    case PickleArgument::kByte:
      return Integer(out, 1, false);
    case PickleArgument::kShort:
      return Integer(out, 2, false);
    case PickleArgument::kInt:
      return Integer(out, 4, true);
    case PickleArgument::kWord:
      return Integer(out, 4, false);
    case PickleArgument::kEight:
      return Frame(out);
    case PickleArgument::kDouble:
      return Double(out);
    case PickleArgument::kText1:
      return Counted(out, 1);
    case PickleArgument::kText4:
      return Counted(out, 4);
    case PickleArgument::kText8:
      return Counted(out, 8);
    case PickleArgument::kLong1:
      return Long(out, 1);
    case PickleArgument::kLong4:
      return Long(out, 4);
    case PickleArgument::kLines:
      ANAM_RETURN_IF_ERROR(Line(*out, &out->text));
      return Line(*out, &out->second);
  }
  return Internal("pickle argument form");
}

Status PickleScanner::Take(const PickleInstruction& in, uint64_t size_bytes,
                           std::string_view* taken) {
  if (size_bytes > bytes_.size() - position_) {
    return InvalidArgument("pickle ends at offset ", bytes_.size(), " inside ", in.At(),
                           ", which needs ", size_bytes, " bytes (truncated?)");
  }
  *taken = bytes_.substr(position_, size_bytes);
  position_ += size_bytes;
  return absl::OkStatus();
}

Status PickleScanner::Integer(PickleInstruction* out, uint64_t size_bytes, bool is_signed) {
  std::string_view taken;
  ANAM_RETURN_IF_ERROR(Take(*out, size_bytes, &taken));
  const uint64_t value = LittleEndian(taken);
  out->number =
      is_signed ? static_cast<int32_t>(static_cast<uint32_t>(value)) : static_cast<int64_t>(value);
  return absl::OkStatus();
}

Status PickleScanner::Frame(PickleInstruction* out) {
  std::string_view taken;
  ANAM_RETURN_IF_ERROR(Take(*out, 8, &taken));
  const uint64_t size_bytes = LittleEndian(taken);
  if (size_bytes > bytes_.size() - position_) {
    return InvalidArgument("pickle ends at offset ", bytes_.size(), " inside the frame of ",
                           out->At(), ", which has ", size_bytes, " bytes (truncated?)");
  }
  return absl::OkStatus();
}

Status PickleScanner::Double(PickleInstruction* out) {
  std::string_view taken;
  ANAM_RETURN_IF_ERROR(Take(*out, 8, &taken));
  uint64_t bits = 0;
  for (const char c : taken) bits = (bits << 8) | static_cast<unsigned char>(c);
  out->real = std::bit_cast<double>(bits);
  return absl::OkStatus();
}

Status PickleScanner::Counted(PickleInstruction* out, uint64_t length_bytes) {
  std::string_view length;
  ANAM_RETURN_IF_ERROR(Take(*out, length_bytes, &length));
  return Take(*out, LittleEndian(length), &out->text);
}

Status PickleScanner::Long(PickleInstruction* out, uint64_t length_bytes) {
  std::string_view length, digits;
  ANAM_RETURN_IF_ERROR(Take(*out, length_bytes, &length));
  ANAM_RETURN_IF_ERROR(Take(*out, LittleEndian(length), &digits));
  if (digits.size() > 8) {
    return InvalidArgument("integer of ", out->At(), " has ", digits.size(),
                           " bytes, expected at most 8 (64 bits)");
  }
  uint64_t value = LittleEndian(digits);
  const bool negative = !digits.empty() && (digits.back() & 0x80) != 0;
  if (negative && digits.size() < 8) value |= ~uint64_t{0} << (8 * digits.size());
  out->number = static_cast<int64_t>(value);
  return absl::OkStatus();
}

Status PickleScanner::Line(const PickleInstruction& in, std::string_view* line) {
  const size_t end = bytes_.find('\n', position_);
  if (end == std::string_view::npos) {
    return InvalidArgument("pickle ends at offset ", bytes_.size(), " inside ", in.At(),
                           ", which needs two lines (truncated?)");
  }
  *line = bytes_.substr(position_, end - position_);
  position_ = end + 1;
  return absl::OkStatus();
}

}  // namespace anamnesis
