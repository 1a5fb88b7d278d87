// SPDX-License-Identifier: Apache-2.0
#include "services/cli/metric_text.h"

#include <algorithm>

#include "anamnesis/v1/job_service.pb.h"
#include "common/base/status.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

constexpr size_t kStepWidth = 9;
constexpr size_t kEpochWidth = 5;

std::string ShortName(const std::string& name) {
  if (name == "learning_rate") return "lr";
  return name == "tokens_per_second" ? "tokens/s" : Printable(name);
}

std::string HeadOf(const std::string& name) {
  std::string head = ShortName(name);
  std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : static_cast<char>(c);
  });
  return head;
}

size_t WidthOf(const std::string& name) { return std::max<size_t>(11, HeadOf(name).size()); }

std::string Right(const std::string& text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

}  // namespace

const std::vector<std::string>& DefaultMetrics() {
  static const auto* const names =
      new std::vector<std::string>{"loss", "learning_rate", "tokens_per_second", "tuning_loss"};
  return *names;
}

std::string MetricHead(const std::vector<std::string>& names) {
  std::string line = Right("STEP", kStepWidth) + "  " + Right("EPOCH", kEpochWidth);
  for (const std::string& name : names) line += "  " + Right(HeadOf(name), WidthOf(name));
  return line;
}

std::string MetricLine(const v1::MetricPoint& point, const std::vector<std::string>& names) {
  std::string line = Right(std::to_string(point.step()), kStepWidth) + "  " +
                     Right(std::to_string(point.epoch()), kEpochWidth);
  for (const std::string& name : names) {
    const auto value = point.values().find(name);
    const bool known = value != point.values().end();
    line += "  " + Right(known ? NumberText(value->second) : "-", WidthOf(name));
  }
  return line;
}

bool HasAny(const v1::MetricPoint& point, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return point.values().contains(name); });
}

MetricCurves::MetricCurves(std::vector<std::string> names)
    : names_(std::move(names)), marks_tuning_(names_.empty()) {
  if (names_.empty()) names_ = {"loss"};
}

void MetricCurves::Add(const v1::MetricPoint& point) {
  last_step_ = point.step();
  for (const auto& [name, value] : point.values()) {
    by_name_[name][point.step()] = value;
    last_[name] = value;
  }
}

std::vector<CurvePoint> MetricCurves::PointsOf(const std::string& name) const {
  std::vector<CurvePoint> points;
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return points;
  for (const auto& [step, value] : found->second) {
    points.push_back({static_cast<double>(step), value});
  }
  return points;
}

std::vector<std::string> MetricCurves::Picture(const std::string& title, size_t width,
                                               size_t height, bool ascii) const {
  std::string head = Cat(title, "  step ", last_step_);
  const std::vector<std::string>& shown = marks_tuning_ ? DefaultMetrics() : names_;
  for (const std::string& name : shown) {
    const auto value = last_.find(name);
    if (value == last_.end()) continue;
    const bool mark = marks_tuning_ && name == "tuning_loss";
    head += Cat("  ", mark ? (ascii ? "o " : "◆ ") : "", ShortName(name), " ",
                NumberText(value->second));
  }
  std::vector<std::string> lines = {FitWidth(head, width)};
  for (size_t i = 0; i < names_.size(); ++i) {
    const size_t left = height - lines.size();
    const size_t own = left / (names_.size() - i);
    CurveOptions options;
    options.width = width;
    options.ascii = ascii;
    options.height = names_.size() > 1 ? std::max<size_t>(own, 5) - 1 : own;
    if (names_.size() > 1) lines.push_back(FitWidth(Printable(names_[i]), width));
    const auto marks = marks_tuning_ ? PointsOf("tuning_loss") : std::vector<CurvePoint>();
    for (std::string& line : DrawCurve(PointsOf(names_[i]), marks, options)) {
      lines.push_back(std::move(line));
    }
  }
  lines.resize(height);
  return lines;
}

}  // namespace anamnesis::cli
