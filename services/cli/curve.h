// SPDX-License-Identifier: Apache-2.0
// A curve as text: a line of braille dots (2 x 4 to a character), single points over it, axes with
// labels. Thread-safe (pure).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace anamnesis::cli {

struct CurvePoint {
  double x = 0;
  double y = 0;
};

struct CurveOptions {
  size_t width = 80;   // columns of the whole picture, labels included
  size_t height = 16;  // lines of the whole picture, axis and labels included
  bool ascii = false;  // '*' and 'o' where there is no Unicode
};

// `line` is joined by x; where several points share a column of dots, their mean counts. `marks`
// stand alone as '◆'. Points that are not finite are left out. Exactly options.height lines (at
// least 4), none wider than options.width (at least 24).
std::vector<std::string> DrawCurve(const std::vector<CurvePoint>& line,
                                   const std::vector<CurvePoint>& marks,
                                   const CurveOptions& options);

}  // namespace anamnesis::cli
