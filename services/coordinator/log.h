// SPDX-License-Identifier: Apache-2.0
// The coordinator's log: one JSON object a line, one fact a line, ids as fields. Only numbers,
// names of states and ids go in: no messages, no paths of users. Thread-safe.
#pragma once

#include <cstdio>
#include <mutex>
#include <string>

#include "common/io/json.h"

namespace anamnesis::coordinator {

class Log {
 public:
  explicit Log(std::FILE* out) : out_(out) {}

  // {"ts": …, "level": …, "component": "coordinator", "event": event, …fields}
  void Info(const std::string& event, Json fields = Json::object()) {
    Write("info", event, fields);
  }
  void Warn(const std::string& event, Json fields = Json::object()) {
    Write("warn", event, fields);
  }

 private:
  void Write(const char* level, const std::string& event, const Json& fields);

  std::mutex mutex_;
  std::FILE* out_;
};

}  // namespace anamnesis::coordinator
