// SPDX-License-Identifier: Apache-2.0
#include "services/cli/curve.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <optional>

#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

constexpr size_t kMinWidth = 24;
constexpr size_t kMinHeight = 4;

struct Span {
  double low = 0;
  double high = 0;
  // 0 to 1 from low to high.
  // Halves: the whole range may be above the largest number.
  double At(double value) const { return (value / 2 - low / 2) / (high / 2 - low / 2); }
};

bool IsFinite(const CurvePoint& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

std::string LabelText(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

// Dots of the plot area, x to the right, y downwards.
class Canvas {
 public:
  Canvas(size_t columns, size_t rows, bool ascii)
      : columns_(columns), rows_(rows), ascii_(ascii), cells_(columns * rows), marked_(cells_) {}

  size_t dots_wide() const { return columns_ * 2; }
  size_t dots_high() const { return rows_ * 4; }

  void Dot(size_t x, size_t y) {
    // Braille numbers its dots 1 2 3 7 in the left column and 4 5 6 8 in the right one.
    static constexpr std::array<std::array<uint8_t, 2>, 4> kBits = {
        {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}};
    cells_[y / 4 * columns_ + x / 2] |= kBits[y % 4][x % 2];
  }
  void Mark(size_t x, size_t y) { marked_[y / 4 * columns_ + x / 2] = 1; }

  std::string Row(size_t row) const {
    std::string text;
    for (size_t column = 0; column < columns_; ++column) {
      const size_t at = row * columns_ + column;
      if (marked_[at] != 0) {
        text += ascii_ ? "o" : "◆";
      } else if (cells_[at] == 0) {
        text += ' ';
      } else if (ascii_) {
        text += '*';
      } else {  // U+2800 + bits in UTF-8
        text += static_cast<char>(0xE2);
        text += static_cast<char>(0xA0 | cells_[at] >> 6U);
        text += static_cast<char>(0x80 | (cells_[at] & 0x3FU));
      }
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  }

 private:
  size_t columns_, rows_;
  bool ascii_;
  std::vector<uint8_t> cells_, marked_;
};

std::optional<std::pair<Span, Span>> Spans(const std::vector<CurvePoint>& line,
                                           const std::vector<CurvePoint>& marks) {
  std::optional<std::pair<Span, Span>> spans;
  for (const auto* points : {&line, &marks}) {
    for (const CurvePoint& point : *points) {
      if (!IsFinite(point)) continue;
      if (!spans) spans = {{point.x, point.x}, {point.y, point.y}};
      spans->first.low = std::min(spans->first.low, point.x);
      spans->first.high = std::max(spans->first.high, point.x);
      spans->second.low = std::min(spans->second.low, point.y);
      spans->second.high = std::max(spans->second.high, point.y);
    }
  }
  if (!spans) return spans;
  auto& [x, y] = *spans;
  if (x.high <= x.low) x.high = x.low + 1;
  if (y.high <= y.low) {
    const double room = std::max(std::fabs(y.low) * 0.1, 1e-9);
    y = {y.low - room, y.high + room};
  }
  return spans;
}

size_t DotAt(double fraction, size_t dots) {
  const double dot = std::round(fraction * static_cast<double>(dots - 1));
  return dot >= 0 ? static_cast<size_t>(std::min(dot, static_cast<double>(dots - 1))) : 0;
}

void DrawLine(const std::vector<CurvePoint>& line, const Span& x, const Span& y, Canvas& canvas) {
  struct Column {
    double sum = 0;
    int64_t count = 0;
  };
  std::vector<Column> columns(canvas.dots_wide());
  for (const CurvePoint& point : line) {
    if (!IsFinite(point)) continue;
    Column& column = columns[DotAt(x.At(point.x), columns.size())];
    column.sum += point.y;
    ++column.count;
  }
  std::optional<std::pair<size_t, size_t>> last;
  for (size_t at = 0; at < columns.size(); ++at) {
    if (columns[at].count == 0) continue;
    const double mean = columns[at].sum / static_cast<double>(columns[at].count);
    const size_t dot = canvas.dots_high() - 1 - DotAt(y.At(mean), canvas.dots_high());
    const auto [from_x, from_y] = last.value_or(std::pair(at, dot));
    const size_t steep = from_y > dot ? from_y - dot : dot - from_y;
    const size_t steps = std::max<size_t>({at - from_x, steep, 1});
    for (size_t step = 0; step <= steps; ++step) {
      const double part = static_cast<double>(step) / static_cast<double>(steps);
      const double dot_x = static_cast<double>(from_x) + part * static_cast<double>(at - from_x);
      const double dot_y = static_cast<double>(from_y) +
                           part * (static_cast<double>(dot) - static_cast<double>(from_y));
      canvas.Dot(static_cast<size_t>(std::lround(dot_x)), static_cast<size_t>(std::lround(dot_y)));
    }
    last = {at, dot};
  }
}

// The axis below the plot and the labels of its two ends.
void AddXAxis(const Span& x, size_t label_width, size_t columns, bool ascii,
              std::vector<std::string>& lines) {
  std::string axis(label_width + 1, ' ');
  axis += ascii ? "+" : "└";
  for (size_t i = 0; i < columns; ++i) axis += ascii ? "-" : "─";
  lines.push_back(axis);
  const std::string low = LabelText(x.low);
  const std::string high = LabelText(x.high);
  std::string labels(label_width + 2, ' ');
  labels += low;
  const size_t gap = columns > low.size() + high.size() ? columns - low.size() - high.size() : 1;
  labels += std::string(gap, ' ') + high;
  lines.push_back(labels);
}

}  // namespace

std::vector<std::string> DrawCurve(const std::vector<CurvePoint>& line,
                                   const std::vector<CurvePoint>& marks,
                                   const CurveOptions& options) {
  const size_t width = std::max(options.width, kMinWidth);
  const size_t height = std::max(options.height, kMinHeight);
  const size_t rows = height - 2;
  const auto spans = Spans(line, marks);
  if (!spans) {
    std::vector<std::string> empty(height);
    empty[height / 2] = "  (no points yet)";
    return empty;
  }
  const auto& [x, y] = *spans;
  // What the middle of the middle row stands for.
  const double middle =
      (static_cast<double>(rows / 2) * 4 + 1.5) / static_cast<double>(rows * 4 - 1);
  std::vector<std::pair<size_t, double>> labelled = {{0, y.high}, {rows - 1, y.low}};
  if (rows >= 5) labelled.push_back({rows / 2, y.high * (1 - middle) + y.low * middle});
  size_t label_width = 0;
  for (const auto& [row, value] : labelled) {
    label_width = std::max(label_width, LabelText(value).size());
  }
  Canvas canvas(width - label_width - 2, rows, options.ascii);
  DrawLine(line, x, y, canvas);
  for (const CurvePoint& mark : marks) {
    if (!IsFinite(mark)) continue;
    canvas.Mark(DotAt(x.At(mark.x), canvas.dots_wide()),
                canvas.dots_high() - 1 - DotAt(y.At(mark.y), canvas.dots_high()));
  }
  std::vector<std::string> lines;
  for (size_t row = 0; row < rows; ++row) {
    std::string label;
    for (const auto& [at, value] : labelled) {
      if (at == row) label = LabelText(value);
    }
    const std::string axis =
        label.empty() ? (options.ascii ? "|" : "│") : (options.ascii ? "+" : "┤");
    lines.push_back(std::string(label_width - label.size(), ' ') + label + " " + axis +
                    canvas.Row(row));
  }
  AddXAxis(x, label_width, width - label_width - 2, options.ascii, lines);
  return lines;
}

}  // namespace anamnesis::cli
