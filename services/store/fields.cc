// SPDX-License-Identifier: Apache-2.0
#include "services/store/fields.h"

#include <cmath>
#include <limits>

namespace anamnesis::store {
namespace {

template <typename T>
bool Take(const StatusOr<T>& found, T* value) {
  if (found.ok()) *value = *found;
  return found.ok();
}

constexpr int64_t kFuture = std::numeric_limits<int64_t>::max();
constexpr int64_t kPast = std::numeric_limits<int64_t>::min();

}  // namespace

// absl saturates infinities to the ends of int64_t, and does not undo it.
int64_t MicrosOf(absl::Time time) { return absl::ToUnixMicros(time); }

absl::Time TimeOf(int64_t micros) {
  if (micros == kFuture) return absl::InfiniteFuture();
  return micros == kPast ? absl::InfinitePast() : absl::FromUnixMicros(micros);
}

int64_t MicrosOf(absl::Duration duration) { return absl::ToInt64Microseconds(duration); }

absl::Duration DurationOf(int64_t micros) {
  if (micros == kFuture) return absl::InfiniteDuration();
  return micros == kPast ? -absl::InfiniteDuration() : absl::Microseconds(micros);
}

Json NumberToJson(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

bool NumberFromJson(const Json& json, double* value) {
  if (json.is_number()) {
    *value = json.get<double>();
  } else if (json == "nan") {
    *value = std::numeric_limits<double>::quiet_NaN();
  } else if (json == "inf" || json == "-inf") {
    *value = (json == "inf" ? 1 : -1) * std::numeric_limits<double>::infinity();
  } else {
    return false;
  }
  return true;
}

bool FromName(const std::string& name, core::JobState* state) {
  return Take(core::JobStateFromName(name), state);
}
bool FromName(const std::string& name, core::AttemptState* state) {
  return Take(core::AttemptStateFromName(name), state);
}
bool FromName(const std::string& name, core::Reason* reason) {
  return Take(core::ReasonFromName(name), reason);
}

}  // namespace anamnesis::store
