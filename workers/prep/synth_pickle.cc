// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/synth_pickle.h"

#include <bit>
#include <limits>
#include <utility>

#include "common/base/check.h"
#include "common/io/pickle_ops.h"

namespace anamnesis::prep {
namespace {

namespace op = pickle_op;

constexpr unsigned char kProtocol = 4;
// Written in full by the first subject, which puts them into the memo in this order.
constexpr std::string_view kKeys[] = {"subject_id", "tokens", "timestamps"};

}  // namespace

SeedPickle::SeedPickle() { Begin(); }

void SeedPickle::Begin() {
  bytes_.clear();
  num_subjects_ = 0;
  PutByte(op::kProto);
  PutByte(kProtocol);
  PutByte(op::kEmptyList);
}

void SeedPickle::AddSubject(int64_t subject_id, std::span<const int64_t> tokens,
                            std::span<const double> times_s) {
  ANAM_CHECK(tokens.size() == times_s.size());
  PutByte(op::kEmptyDict);
  PutByte(op::kMark);
  PutKey(0);
  PutInt(subject_id);
  PutKey(1);
  PutByte(op::kEmptyList);
  PutByte(op::kMark);
  for (const int64_t token : tokens) PutInt(token);
  PutByte(op::kAppends);
  PutKey(2);
  PutByte(op::kEmptyList);
  PutByte(op::kMark);
  for (const double time_s : times_s) PutFloat(time_s);
  PutByte(op::kAppends);
  PutByte(op::kSetItems);
  PutByte(op::kAppend);
  ++num_subjects_;
}

std::string SeedPickle::Finish() {
  PutByte(op::kStop);
  std::string bytes = std::move(bytes_);
  Begin();
  return bytes;
}

void SeedPickle::PutKey(uint8_t slot) {
  if (num_subjects_ > 0) {
    PutByte(op::kBinGet);
    PutByte(slot);
    return;
  }
  PutByte(op::kShortBinUnicode);
  PutByte(static_cast<unsigned char>(kKeys[slot].size()));
  bytes_ += kKeys[slot];
  PutByte(op::kMemoize);
}

void SeedPickle::PutInt(int64_t value) {
  if (value >= 0 && value <= 0xFF) {
    PutByte(op::kBinInt1);
    PutLittleEndian(static_cast<uint64_t>(value), 1);
  } else if (value >= 0 && value <= 0xFFFF) {
    PutByte(op::kBinInt2);
    PutLittleEndian(static_cast<uint64_t>(value), 2);
  } else if (value >= std::numeric_limits<int32_t>::min() &&
             value <= std::numeric_limits<int32_t>::max()) {
    PutByte(op::kBinInt);
    PutLittleEndian(static_cast<uint64_t>(value), 4);
  } else {
    PutByte(op::kLong1);
    PutByte(8);
    PutLittleEndian(static_cast<uint64_t>(value), 8);
  }
}

void SeedPickle::PutFloat(double value) {
  PutByte(op::kBinFloat);
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  for (int shift = 56; shift >= 0; shift -= 8) {
    PutByte(static_cast<unsigned char>((bits >> shift) & 0xFF));
  }
}

void SeedPickle::PutLittleEndian(uint64_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) {
    PutByte(static_cast<unsigned char>((value >> (8 * i)) & 0xFF));
  }
}

}  // namespace anamnesis::prep
