// SPDX-License-Identifier: Apache-2.0
// The single problems behind one error status, one for each bad key, carried as the status' payload
// "anamnesis/field_violations" so that a border (gRPC's BadRequest) can list them. Thread-safe
// (pure).
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::config {

inline constexpr char kFieldViolationsUrl[] = "anamnesis/field_violations";

struct FieldViolation {
  std::string field;        // dotted path of the key; "" where no key is to blame
  std::string description;  // whole line for people: "job.yaml:27:3: training.epoch: unknown key"
  bool operator==(const FieldViolation&) const = default;
};

// The same status with the list attached; OK stays OK, an empty list attaches nothing.
[[nodiscard]] Status WithFieldViolations(Status status,
                                         const std::vector<FieldViolation>& violations);

// The attached list; empty where there is none.
std::vector<FieldViolation> FieldViolationsOf(const Status& status);

}  // namespace anamnesis::config
