// SPDX-License-Identifier: Apache-2.0
// A small writer of pickles (protocol 4, as CPython writes a list of dicts), for tests.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace anamnesis::prep {

struct TestSubject {
  int64_t subject_id = 0;
  std::vector<int64_t> tokens;
  std::vector<double> timestamps;
};

class PickleWriter {
 public:
  PickleWriter() { bytes_ = "\x80\x04"; }

  PickleWriter& Op(char code) {
    bytes_.push_back(code);
    return *this;
  }
  PickleWriter& Fixed(uint64_t value, int size_bytes) {
    for (int i = 0; i < size_bytes; ++i) bytes_.push_back(static_cast<char>(value >> (8 * i)));
    return *this;
  }
  PickleWriter& Int(int64_t value) {
    if (value == static_cast<int32_t>(value)) return Op('J').Fixed(static_cast<uint64_t>(value), 4);
    return Op('\x8a').Fixed(8, 1).Fixed(static_cast<uint64_t>(value), 8);
  }
  PickleWriter& Float(double value) {
    const auto bits = std::bit_cast<uint64_t>(value);
    Op('G');
    for (int shift = 56; shift >= 0; shift -= 8) bytes_.push_back(static_cast<char>(bits >> shift));
    return *this;
  }
  PickleWriter& Text(std::string_view text) {
    Op('\x8c').Fixed(text.size(), 1);
    bytes_ += text;
    return *this;
  }
  PickleWriter& Subject(const TestSubject& subject) {
    Op('}').Op('(').Text("subject_id").Int(subject.subject_id).Text("tokens").Op(']').Op('(');
    for (const int64_t token : subject.tokens) Int(token);
    Op('e').Text("timestamps").Op(']').Op('(');
    for (const double time : subject.timestamps) Float(time);
    return Op('e').Op('u');
  }
  std::string Done() {
    Op('.');
    return bytes_;
  }

 private:
  std::string bytes_;
};

inline std::string PickleOf(const std::vector<TestSubject>& subjects) {
  PickleWriter writer;
  writer.Op(']').Op('(');
  for (const TestSubject& subject : subjects) writer.Subject(subject);
  return writer.Op('e').Done();
}

}  // namespace anamnesis::prep
