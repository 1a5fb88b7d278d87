// SPDX-License-Identifier: Apache-2.0
// Typed members of one JSON object by HF's rule: absent or null leaves the default in place. The
// first error sticks and names the file and the key. Thread-compatible; borrows the object.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/io/json.h"

namespace anamnesis::model {

class JsonFields {
 public:
  JsonFields(const Json& object, std::string source)
      : object_(object), source_(std::move(source)) {}

  // The member, or null when it is absent or JSON's null.
  const Json* Find(const char* key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  // Present and null, where that differs from absent.
  bool IsNull(const char* key) const {
    const auto it = object_.find(key);
    return it != object_.end() && it->is_null();
  }
  void Int(const char* key, int64_t low, int64_t high, int64_t* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_number_integer()) return Fail(key, "an integer", *value);
    const bool too_big = value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{1} << 62;
    const int64_t number = too_big ? high : value->get<int64_t>();
    if (too_big || number < low || number > high) {
      return Set(InvalidArgument(source_, ": key '", key, "': expected an integer from ", low,
                                 " to ", high));
    }
    *out = number;
  }
  void Number(const char* key, double* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_number() || !std::isfinite(value->get<double>())) {
      return Fail(key, "a number", *value);
    }
    *out = value->get<double>();
  }
  // A number above zero.
  void Positive(const char* key, double* out) {
    double number = 1;
    Number(key, &number);
    if (number <= 0) return Set(InvalidArgument(source_, ": key '", key, "': expected above 0"));
    if (Find(key) != nullptr) *out = number;
  }
  void Bool(const char* key, bool* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return Fail(key, "true or false", *value);
    *out = value->get<bool>();
  }
  void String(const char* key, std::string* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_string()) return Fail(key, "a string", *value);
    *out = value->get<std::string>();
  }
  // A list of numbers above zero.
  void Numbers(const char* key, std::vector<double>* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_array()) return Fail(key, "a list of numbers", *value);
    out->clear();
    for (const Json& number : *value) {
      if (!number.is_number() || !(number.get<double>() > 0)) {
        return Fail(key, "a list of numbers above 0", number);
      }
      out->push_back(number.get<double>());
    }
  }
  void Fail(const char* key, const char* expected, const Json& found) {
    Set(InvalidArgument(source_, ": key '", key, "': expected ", expected, ", found ",
                        found.type_name()));
  }
  void Set(const Status& status) {
    if (status_.ok()) status_ = status;
  }
  const Status& status() const { return status_; }
  const std::string& source() const { return source_; }

 private:
  const Json& object_;
  std::string source_;
  Status status_;
};

}  // namespace anamnesis::model
