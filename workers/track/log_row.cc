// SPDX-License-Identifier: Apache-2.0
#include "workers/track/log_row.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

namespace anamnesis::track {
namespace {

constexpr std::array<std::string_view, 5> kOfWholeRun = {
    "total_flos", "train_loss", "train_runtime", "train_samples_per_second",
    "train_steps_per_second"};

std::string TagOf(const std::string& key) {
  for (const char* prefix : {"eval", "test"}) {
    if (key.starts_with(Cat(prefix, "_"))) return Cat(prefix, "/", key.substr(5));
  }
  return "train/" + key;
}

std::optional<double> NumberOf(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

}  // namespace

Scalars ScalarsOf(const Json& row) {
  Scalars scalars;
  if (!row.is_object()) return scalars;
  for (const auto& [key, value] : row.items()) {
    if (key == "step") continue;
    if (const std::optional<double> number = NumberOf(value)) {
      scalars.emplace_back(TagOf(key), *number);
    }
  }
  return scalars;
}

int64_t StepOf(const Json& row) {
  if (!row.is_object()) return 0;
  const auto step = row.find("step");
  return step != row.end() && step->is_number_integer() ? step->get<int64_t>() : 0;
}

bool IsOfWholeRun(const std::string& key) {
  return std::find(kOfWholeRun.begin(), kOfWholeRun.end(), key) != kOfWholeRun.end();
}

std::string NumberText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return Json(value).dump();
}

}  // namespace anamnesis::track
