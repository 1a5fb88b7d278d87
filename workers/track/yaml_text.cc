// SPDX-License-Identifier: Apache-2.0
#include "workers/track/yaml_text.h"

#include <cmath>

namespace anamnesis::track {
namespace {

std::string FloatText(double value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  std::string text = Json(value).dump();
  const size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) {
    text.insert(exponent, ".0");
  }
  return text;
}

}  // namespace

std::string YamlText(const Json& value) {
  if (value.is_number_float()) return FloatText(value.get<double>());
  if (!value.is_structured()) return value.dump(-1, ' ', true, Json::error_handler_t::replace);
  const bool is_object = value.is_object();
  std::string text = is_object ? "{" : "[";
  for (const auto& [key, member] : value.items()) {
    if (text.size() > 1) text += ", ";
    if (is_object) text += YamlText(key) + ": ";
    text += YamlText(member);
  }
  return text + (is_object ? "}" : "]");
}

}  // namespace anamnesis::track
