// SPDX-License-Identifier: Apache-2.0
// Builds a pickle of protocol 2, the one that torch.save uses and that torch.load takes with
// weights_only. Format: CPython's Lib/pickletools.py. Thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace anamnesis::torch_file {

class PickleText {
 public:
  PickleText();

  void Op(unsigned char code) { bytes_.push_back(static_cast<char>(code)); }
  void None();
  void Bool(bool value);
  void Int(int64_t value);
  void Float(double value);
  void Text(std::string_view value);
  void Ints(const std::vector<int64_t>& values);  // a tuple
  // A class or function; written in full once, then by the memo.
  void Global(std::string_view module, std::string_view name);

  // Ends the pickle and hands its bytes over.
  std::string Finish();

 private:
  void LittleEndian(uint64_t value, int num_bytes);

  std::string bytes_;
  std::map<std::string, uint32_t> globals_;  // slot in the memo
};

}  // namespace anamnesis::torch_file
