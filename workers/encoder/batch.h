// SPDX-License-Identifier: Apache-2.0
// What an encoder takes: documents laid end to end as one flat sequence of T ids, without padding.
// Attention stays within a document and positions restart in each.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/status.h"
#include "workers/encoder/config.h"

namespace anamnesis::encoder {

// One document with its special tokens, borrowed.
struct DocumentView {
  std::span<const int32_t> ids;
  std::span<const int32_t> token_types;  // empty: all zero; else as long as ids
  int64_t label = -1;                    // -1: none
};

struct EncoderBatch {
  at::Tensor ids_T;              // int64 [T]
  at::Tensor positions_T;        // int64 [T]: rows of the position table
  at::Tensor offsets_T;          // int64 [T]: place within the document, from 0
  at::Tensor token_types_T;      // int64 [T]
  at::Tensor first_B;            // int64 [B]: each document's first token
  at::Tensor labels_B;           // int64 [B]; -1 where there is none
  std::vector<int64_t> lengths;  // [B], each ≥ 1
};

// kInvalidArgument names the document by its place in the batch: empty, longer than the model's
// positions, an id, token type or label outside the model's range.
StatusOr<EncoderBatch> PackDocuments(std::span<const DocumentView> documents,
                                     const EncoderConfig& config, at::Device device = at::kCPU);

}  // namespace anamnesis::encoder
