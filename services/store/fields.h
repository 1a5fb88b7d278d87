// SPDX-License-Identifier: Apache-2.0
// One list of fields drives both directions between a struct and a JSON object: T has a function
//   template <typename Visitor, Is<T> Value> void VisitFields(Visitor& visit, Value& value)
// in this namespace that calls visit("key", value.member) for each field. The reader demands every
// key with its type and knows every key there is.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/io/json.h"
#include "services/core/job.h"

namespace anamnesis::store {

// T is U or const U.
template <typename T, typename U>
concept Is = std::is_same_v<std::remove_const_t<T>, U>;

// Microseconds since 1970; infinities are the ends of int64_t. Parts of a microsecond are cut off.
int64_t MicrosOf(absl::Time time);
absl::Time TimeOf(int64_t micros);
int64_t MicrosOf(absl::Duration duration);
absl::Duration DurationOf(int64_t micros);

// Doubles that JSON has no number for are strings: "nan", "inf", "-inf".
Json NumberToJson(double value);
bool NumberFromJson(const Json& json, double* value);

// False for a name that is none.
bool FromName(const std::string& name, core::JobState* state);
bool FromName(const std::string& name, core::AttemptState* state);
bool FromName(const std::string& name, core::Reason* reason);

class FieldWriter {
 public:
  template <typename T>
  void operator()(const char* key, const T& value) {
    object_[key] = ToJson(value);
  }
  const Json& object() const { return object_; }

 private:
  template <typename T>
  static Json ToJson(const T& value) {
    if constexpr (requires(FieldWriter & writer) { VisitFields(writer, value); }) {
      FieldWriter inner;
      VisitFields(inner, value);
      return std::move(inner.object_);
    } else if constexpr (std::is_same_v<T, core::JobId>) {
      return static_cast<int64_t>(value);
    } else if constexpr (std::is_enum_v<T>) {
      return core::NameOf(value);
    } else if constexpr (std::is_same_v<T, double>) {
      return NumberToJson(value);
    } else if constexpr (std::is_same_v<T, absl::Time> || std::is_same_v<T, absl::Duration>) {
      return MicrosOf(value);
    } else {
      static_assert(std::is_same_v<T, int64_t> || std::is_same_v<T, bool> ||
                    std::is_same_v<T, std::string>);
      return value;
    }
  }
  template <typename T>
  static Json ToJson(const std::optional<T>& value) {
    return value.has_value() ? ToJson(*value) : Json();
  }
  template <typename T>
  static Json ToJson(const std::vector<T>& values) {
    Json list = Json::array();
    for (const T& value : values) list.push_back(ToJson(value));
    return list;
  }

  static Json ToJson(const std::map<std::string, double>& values) {
    Json object = Json::object();
    for (const auto& [name, value] : values) object[name] = NumberToJson(value);
    return object;
  }

  Json object_ = Json::object();
};

class FieldReader {
 public:
  // `source` begins the texts of errors; `path` is the key of `object` with a dot behind, or "".
  FieldReader(const Json& object, std::string source, std::string path)
      : object_(object), source_(std::move(source)), path_(std::move(path)) {
    if (!object.is_object()) Wrong(path_.substr(0, path_.rfind('.')), "is not an object");
  }

  template <typename T>
  void operator()(const char* key, T& value) {
    if (!status_.ok()) return;
    known_.insert(key);
    const auto it = object_.find(key);
    if (it == object_.end()) return Wrong(path_ + key, "is missing");
    Read(*it, path_ + key, value);
  }

  // kDataLoss names the key; values are never quoted.
  Status Finish() {
    for (auto it = object_.begin(); status_.ok() && it != object_.end(); ++it) {
      if (!known_.contains(it.key())) Wrong(path_ + it.key(), "is unknown");
    }
    return status_;
  }

 private:
  void Wrong(const std::string& key, const std::string& what) {
    status_ = DataLoss(source_, ": key '", key, "' ", what);
  }

  template <typename T>
  void Read(const Json& json, const std::string& key, T& value) {
    if constexpr (requires(FieldReader & reader) { VisitFields(reader, value); }) {
      FieldReader inner(json, source_, key + ".");
      VisitFields(inner, value);
      status_ = inner.Finish();
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (!json.is_string()) return Wrong(key, "is not a text");
      value = json.get<std::string>();
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!json.is_boolean()) return Wrong(key, "is not true or false");
      value = json.get<bool>();
    } else if constexpr (std::is_same_v<T, double>) {
      if (!NumberFromJson(json, &value)) Wrong(key, "is not a number");
    } else if constexpr (std::is_enum_v<T> && !std::is_same_v<T, core::JobId>) {
      if (!json.is_string() || !FromName(json.get<std::string>(), &value)) {
        Wrong(key, "has an unknown name");
      }
    } else {
      ReadInteger(json, key, value);
    }
  }
  template <typename T>
  void Read(const Json& json, const std::string& key, std::optional<T>& value) {
    value.reset();
    if (!json.is_null()) Read(json, key, value.emplace());
  }
  template <typename T>
  void Read(const Json& json, const std::string& key, std::vector<T>& values) {
    if (!json.is_array()) return Wrong(key, "is not a list");
    values.clear();
    for (size_t i = 0; i < json.size() && status_.ok(); ++i) {
      Read(json[i], Cat(key, "[", i, "]"), values.emplace_back());
    }
  }
  void Read(const Json& json, const std::string& key, std::map<std::string, double>& values) {
    if (!json.is_object()) return Wrong(key, "is not an object");
    values.clear();
    for (const auto& [name, value] : json.items()) {
      if (!NumberFromJson(value, &values[name]))
        return Wrong(Cat(key, ".", name), "is not a number");
    }
  }
  template <typename T>
  void ReadInteger(const Json& json, const std::string& key, T& value) {
    if (!json.is_number_integer() || (json.is_number_unsigned() && json.get<uint64_t>() >> 63)) {
      return Wrong(key, "is not an integer of 64 bits");
    }
    const auto integer = json.get<int64_t>();
    if constexpr (std::is_same_v<T, absl::Time>) {
      value = TimeOf(integer);
    } else if constexpr (std::is_same_v<T, absl::Duration>) {
      value = DurationOf(integer);
    } else {
      static_assert(std::is_same_v<T, int64_t> || std::is_same_v<T, core::JobId>);
      value = static_cast<T>(integer);
    }
  }

  const Json& object_;
  std::string source_;
  std::string path_;
  std::set<std::string> known_;
  Status status_;
};

}  // namespace anamnesis::store
