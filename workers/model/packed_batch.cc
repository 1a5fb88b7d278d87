// SPDX-License-Identifier: Apache-2.0
#include "workers/model/packed_batch.h"

#include "common/base/check.h"

namespace anamnesis::model {
namespace {

at::Tensor ToTensor(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong)).to(device);
}

}  // namespace

PackedBatch PackBatch(std::span<const RowView> rows, at::Device device) {
  PackedBatch batch;
  std::vector<int64_t> ids, positions, label_positions, labels;
  for (const RowView& row : rows) {
    size_t start = 0;  // of the segment, within the row
    for (const int32_t length : row.segment_lengths) {
      ANAM_CHECK(length > 0 && start + static_cast<size_t>(length) <= row.ids.size());
      for (int32_t i = 0; i < length; ++i) {
        if (i > 0 && static_cast<int64_t>(start) + i >= row.num_prompt_ids) {
          label_positions.push_back(static_cast<int64_t>(ids.size()) - 1);
          labels.push_back(row.ids[start + static_cast<size_t>(i)]);
        }
        ids.push_back(row.ids[start + static_cast<size_t>(i)]);
        positions.push_back(i);
      }
      batch.segment_lengths.push_back(length);
      start += static_cast<size_t>(length);
    }
    ANAM_CHECK(start == row.ids.size());
    batch.row_lengths.push_back(static_cast<int64_t>(row.ids.size()));
  }
  batch.num_labels = static_cast<int64_t>(labels.size());
  batch.ids_T = ToTensor(ids, device);
  batch.positions_T = ToTensor(positions, device);
  batch.label_positions_N = ToTensor(label_positions, device);
  batch.labels_N = ToTensor(labels, device);
  return batch;
}

}  // namespace anamnesis::model
