// SPDX-License-Identifier: Apache-2.0
#include "common/base/evaluation_text.h"

#include <cstdio>

namespace anamnesis {
namespace {

std::string Fixed(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

// "0.8123 (0.7512 to 0.8671)"
std::string FigureText(const std::map<std::string, double>& figures, const std::string& name) {
  const auto value = figures.find(name);
  if (value == figures.end()) return "";
  std::string text = Fixed(value->second);
  const auto low = figures.find(name + "_low"), high = figures.find(name + "_high");
  if (low != figures.end() && high != figures.end()) {
    text += " (" + Fixed(low->second) + " to " + Fixed(high->second) + ")";
  }
  return text;
}

}  // namespace

std::string EvaluationText(const std::map<std::string, double>& figures, const std::string& split) {
  std::string text;
  for (const char* metric : {"auroc", "auprc", "accuracy"}) {
    const std::string name = split + "_" + metric;
    const std::string own = FigureText(figures, name);
    if (own.empty()) continue;
    text += (text.empty() ? "" : "; ") + std::string(metric) + " " + own;
    const std::string baseline = FigureText(figures, "baseline_" + name);
    if (!baseline.empty()) text += ", bag of codes " + baseline;
  }
  return text;
}

}  // namespace anamnesis
