// SPDX-License-Identifier: Apache-2.0
// KeyValue: the shared dictionary through which the members of a gang find each other. Behind it is
// the rank's channel to its worker (workers/train/rank_channel.h); tests use a map. Thread-safe.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::collective {

class KeyValue {
 public:
  virtual ~KeyValue() = default;
  virtual Status Set(const std::string& key, const std::string& value) = 0;
  // Waits until the key is there. kDeadlineExceeded after `timeout`, kUnavailable when the worker
  // is gone.
  virtual StatusOr<std::string> Get(const std::string& key, std::chrono::milliseconds timeout) = 0;
  virtual Status Wait(const std::vector<std::string>& keys, std::chrono::milliseconds timeout) = 0;
};

}  // namespace anamnesis::collective
