// SPDX-License-Identifier: Apache-2.0
// A row as a model part takes it: pieces of documents laid end to end. Attention never crosses a
// segment, positions restart in each, and in causal training position i of a segment predicts id
// i+1 of the same segment. A row of documents is one segment with the subject's class.
#pragma once

#include <cstdint>
#include <vector>

namespace anamnesis::stream {

struct PackedRow {
  std::vector<int32_t> ids;              // [T], T ≤ max_length
  std::vector<int32_t> segment_lengths;  // sums to T, each ≥ 2 (≥ 1 of documents)
  int64_t num_tokens = 0;                // ids without BOS and EOS
  int64_t subject_id = 0;                // of documents
  int32_t label = -1;                    // class of the subject; -1 of packed rows
  int64_t num_prompt_ids = 0;            // of prompts: the ids before the answer, no labels
  // Of packed rows: every id but the first of a segment.
  int64_t num_labels() const {
    return static_cast<int64_t>(ids.size()) - static_cast<int64_t>(segment_lengths.size());
  }
};

}  // namespace anamnesis::stream
