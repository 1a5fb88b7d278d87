// SPDX-License-Identifier: Apache-2.0
// One list of fields per message drives both directions: a struct T has a function
//   template <typename Visitor, typename Value> void VisitFields(Visitor& visit, Value& value)
// that calls visit("key", value.member) for each field; Value is T or const T. The reader demands
// every field with its type and refuses unknown keys. For workers/contract and
// workers/checkpoint/manifest.cc.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "common/io/json.h"

namespace anamnesis::contract::fields {

// T is U or const U: the constraint of a VisitFields that both reads and writes.
template <typename T, typename U>
concept Is = std::is_same_v<std::remove_const_t<T>, U>;

// A double that JSON has no number for travels as one of these strings (a loss may become NaN and
// must be seen).
inline Json NumberToJson(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

class Writer {
 public:
  Json Take() { return std::move(object_); }

  void operator()(const char* key, double value) { object_[key] = NumberToJson(value); }
  template <typename T>
  void operator()(const char* key, const T& value) {
    object_[key] = Write(value);
  }

 private:
  template <typename T>
  static Json Write(const T& value) {
    if constexpr (requires(Writer & writer) { VisitFields(writer, value); }) {
      Writer inner;
      VisitFields(inner, value);
      return inner.Take();
    } else {
      return value;
    }
  }
  template <typename T>
  static Json Write(const std::vector<T>& values) {
    Json list = Json::array();
    for (const T& value : values) list.push_back(Write(value));
    return list;
  }

  Json object_ = Json::object();
};

class Reader {
 public:
  // `path` is the dotted key of `object` with a trailing dot, or "". `finite` refuses the strings
  // of NumberToJson.
  Reader(const Json& object, std::string source, std::string path, bool finite)
      : object_(object), source_(std::move(source)), path_(std::move(path)), finite_(finite) {
    if (object.is_object()) return;
    const std::string where =
        path_.empty() ? "" : Cat(": key '", path_.substr(0, path_.size() - 1), "'");
    status_ = InvalidArgument(source_, where, ": expected an object, found ", object.type_name());
  }

  template <typename T>
  void operator()(const char* key, T& value) {
    known_.insert(key);
    if (!status_.ok()) return;
    const auto it = object_.find(key);
    if (it == object_.end()) {
      status_ = InvalidArgument(source_, ": key '", path_, key, "' is missing");
      return;
    }
    Read(*it, Cat(path_, key), value);
  }

  // A key that belongs to the message but is read elsewhere ("kind").
  void Accept(const char* key) { known_.insert(key); }

  Status Finish() const {
    if (!status_.ok()) return status_;
    for (const auto& [key, unused] : object_.items()) {
      if (!known_.contains(key))
        return InvalidArgument(source_, ": unknown key '", path_, key, "'");
    }
    return absl::OkStatus();
  }

 private:
  void Wrong(const Json& json, const std::string& key, const char* expected) {
    status_ = InvalidArgument(source_, ": key '", key, "': expected ", expected, ", found ",
                              json.type_name());
  }

  template <typename T>
  void Read(const Json& json, const std::string& key, T& value) {
    if constexpr (requires(Reader & reader) { VisitFields(reader, value); }) {
      Reader inner(json, source_, key + ".", finite_);
      VisitFields(inner, value);
      status_ = inner.Finish();
    } else if constexpr (std::is_same_v<T, Json>) {
      if (!json.is_object()) return Wrong(json, key, "an object");
      value = json;
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (!json.is_string()) return Wrong(json, key, "a string");
      value = json.get<std::string>();
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!json.is_boolean()) return Wrong(json, key, "true or false");
      value = json.get<bool>();
    } else if constexpr (std::is_floating_point_v<T>) {
      ReadNumber(json, key, value);
    } else if constexpr (std::is_integral_v<T>) {
      ReadInteger(json, key, value);
    } else {
      ReadContainer(json, key, value);
    }
  }

  void ReadNumber(const Json& json, const std::string& key, double& value) {
    if (json.is_number()) {
      value = json.get<double>();
    } else if (!finite_ && json == "nan") {
      value = std::numeric_limits<double>::quiet_NaN();
    } else if (!finite_ && (json == "inf" || json == "-inf")) {
      value = json == "inf" ? std::numeric_limits<double>::infinity()
                            : -std::numeric_limits<double>::infinity();
    } else {
      Wrong(json, key, "a number");
    }
  }

  template <typename T>
  void ReadInteger(const Json& json, const std::string& key, T& value) {
    if (!json.is_number_integer()) return Wrong(json, key, "an integer");
    bool fits = false;
    if (json.is_number_unsigned()) {
      fits = json.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<T>::max());
    } else if constexpr (std::is_signed_v<T>) {
      fits = json.get<int64_t>() >= static_cast<int64_t>(std::numeric_limits<T>::min());
    }
    if (!fits) {
      status_ = InvalidArgument(source_, ": key '", key, "': number out of range");
      return;
    }
    value = json.get<T>();
  }

  template <typename T>
  void ReadContainer(const Json& json, const std::string& key, std::vector<T>& value) {
    if (!json.is_array()) return Wrong(json, key, "a list");
    value.clear();
    for (size_t i = 0; i < json.size() && status_.ok(); ++i) {
      T item{};
      Read(json[i], Cat(key, "[", i, "]"), item);
      value.push_back(std::move(item));
    }
  }

  template <typename T>
  void ReadContainer(const Json& json, const std::string& key, std::map<std::string, T>& value) {
    if (!json.is_object()) return Wrong(json, key, "an object");
    value.clear();
    for (const auto& [name, item] : json.items()) {
      if (!status_.ok()) return;
      Read(item, Cat(key, ".", name), value[name]);
    }
  }

  const Json& object_;
  std::string source_;
  std::string path_;
  bool finite_;
  std::set<std::string> known_;
  Status status_;
};

}  // namespace anamnesis::contract::fields
