// SPDX-License-Identifier: Apache-2.0
// Writes one pickle of the seed layout, protocol 4: a list of dicts subject_id (int), tokens (list
// of int) and timestamps (list of float). The opcodes are those that the restricted reader takes.
// Format: CPython's Lib/pickletools.py. Thread-compatible.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace anamnesis::prep {

class SeedPickle {
 public:
  SeedPickle();

  // As many times as tokens.
  void AddSubject(int64_t subject_id, std::span<const int64_t> tokens,
                  std::span<const double> times_s);

  // Ends the pickle and hands its bytes over; the object is empty and new again.
  std::string Finish();

  uint64_t num_subjects() const { return num_subjects_; }

 private:
  void Begin();
  void PutKey(uint8_t slot);
  void PutInt(int64_t value);
  void PutFloat(double value);
  void PutByte(unsigned char byte) { bytes_.push_back(static_cast<char>(byte)); }
  void PutLittleEndian(uint64_t value, int num_bytes);

  std::string bytes_;
  uint64_t num_subjects_ = 0;
};

}  // namespace anamnesis::prep
