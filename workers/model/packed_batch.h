// SPDX-License-Identifier: Apache-2.0
// What a decoder takes: packed rows laid end to end as one flat sequence of T ids cut into
// segments. Attention never crosses a segment and positions restart in each.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

namespace anamnesis::model {

// One packed row (stream::PackedRow), borrowed.
struct RowView {
  std::span<const int32_t> ids;
  std::span<const int32_t> segment_lengths;  // sums to ids.size(), each ≥ 1
  int64_t num_prompt_ids = 0;                // ids of the row's begin that are no labels
};

struct PackedBatch {
  at::Tensor ids_T;              // int64 [T]
  at::Tensor positions_T;        // int64 [T], restarting at 0 in every segment
  at::Tensor label_positions_N;  // int64 [N]: positions whose successor is a label: in their
                                 // segment and behind the row's prompt
  at::Tensor labels_N;           // int64 [N]: the id that follows each of those
  std::vector<int64_t> segment_lengths;  // of all rows, in order
  std::vector<int64_t> row_lengths;      // ids of each row
  int64_t num_labels = 0;                // N
};

PackedBatch PackBatch(std::span<const RowView> rows, at::Device device = at::kCPU);

}  // namespace anamnesis::model
