// SPDX-License-Identifier: Apache-2.0
// A long text that never changes: copies of it share the bytes. Thread-compatible; copies may be on
// different threads.
#pragma once

#include <memory>
#include <string>
#include <utility>

namespace anamnesis::core {

class SharedText {
 public:
  SharedText() = default;
  SharedText(std::string text)  // NOLINT: a text is one
      : text_(std::make_shared<const std::string>(std::move(text))) {}
  SharedText(const char* text) : SharedText(std::string(text)) {}  // NOLINT: likewise

  const std::string& str() const {
    static const std::string empty;
    return text_ == nullptr ? empty : *text_;
  }
  bool operator==(const SharedText& other) const {
    return text_ == other.text_ || str() == other.str();
  }

 private:
  std::shared_ptr<const std::string> text_;
};

}  // namespace anamnesis::core
