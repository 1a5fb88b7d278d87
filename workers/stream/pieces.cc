// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/pieces.h"

#include <algorithm>

#include "common/base/check.h"

namespace anamnesis::stream {

std::vector<uint32_t> CutIntoPieces(std::span<const uint32_t> borders, uint32_t num_ids,
                                    uint32_t max_length) {
  ANAM_CHECK(max_length >= 2);
  std::vector<uint32_t> lengths;
  auto next_border = borders.begin();
  for (uint32_t begin = 0; begin < num_ids;) {
    uint32_t end = num_ids;
    if (num_ids - begin > max_length) {
      const uint32_t limit = begin + max_length;
      next_border = std::upper_bound(next_border, borders.end(), limit);
      const uint32_t border = next_border == borders.begin() ? 0 : *(next_border - 1);
      // A border that would leave one id alone is passed over: the phrase behind it is split hard.
      end = border >= begin + 2 ? border : limit;
      if (num_ids - end == 1 && end - begin > 2) --end;
    }
    lengths.push_back(end - begin);
    begin = end;
  }
  return lengths;
}

}  // namespace anamnesis::stream
