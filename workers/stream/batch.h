// SPDX-License-Identifier: Apache-2.0
// A packed row: pieces of documents laid end to end, as a model part takes them. Attention never
// crosses a segment, positions restart in each, and position i of a segment predicts id i+1 of the
// same segment.
#pragma once

#include <cstdint>
#include <vector>

namespace anamnesis::stream {

struct PackedRow {
  std::vector<int32_t> ids;              // [T], T ≤ max_length
  std::vector<int32_t> segment_lengths;  // sums to T, each ≥ 2
  int64_t num_tokens = 0;                // ids without BOS and EOS
  int64_t num_labels() const {
    return static_cast<int64_t>(ids.size()) - static_cast<int64_t>(segment_lengths.size());
  }
};

}  // namespace anamnesis::stream
