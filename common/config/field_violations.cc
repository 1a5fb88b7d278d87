// SPDX-License-Identifier: Apache-2.0
#include "common/config/field_violations.h"

#include "common/io/json.h"

namespace anamnesis::config {

Status WithFieldViolations(Status status, const std::vector<FieldViolation>& violations) {
  if (status.ok() || violations.empty()) return status;
  Json list = Json::array();
  for (const FieldViolation& violation : violations) {
    list.push_back({violation.field, violation.description});
  }
  status.SetPayload(kFieldViolationsUrl,
                    absl::Cord(list.dump(-1, ' ', false, Json::error_handler_t::replace)));
  return status;
}

std::vector<FieldViolation> FieldViolationsOf(const Status& status) {
  std::vector<FieldViolation> violations;
  const auto payload = status.GetPayload(kFieldViolationsUrl);
  if (!payload.has_value()) return violations;
  const StatusOr<Json> list = ParseJson(std::string(*payload), kFieldViolationsUrl);
  if (!list.ok() || !list->is_array()) return violations;
  for (const Json& item : *list) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string()) {
      continue;
    }
    violations.push_back({item[0].get<std::string>(), item[1].get<std::string>()});
  }
  return violations;
}

}  // namespace anamnesis::config
