// SPDX-License-Identifier: Apache-2.0
// A decoder on one growing sequence: the rotated keys and the values of every layer are kept, so
// that a new position costs one position's work. The arithmetic is the decoder's own.
// Shapes: V vocabulary, S cached positions, K key and value heads, E head dim.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

#include "workers/model/decoder.h"

namespace anamnesis::model {

// Thread-compatible; borrows the decoder. Torch's exceptions fly.
class CachedDecoder {
 public:
  explicit CachedDecoder(const Decoder& decoder);

  // Takes the next ids of the sequence (at least one, each below the vocabulary's size) and returns
  // the logits of the last of them, [V] in the model's dtype. Where a rope's frequencies depend on
  // the length, keys stay rotated by those of the length at which they came, as in HF's generate;
  // phi3 with longrope begins again with the long factors when it crosses the original length, as
  // HF does there.
  at::Tensor Append(std::span<const int64_t> ids);

  int64_t length() const { return static_cast<int64_t>(ids_.size()); }

 private:
  // Of a sliding layer the last window − 1 positions alone.
  struct Layer {
    at::Tensor k_SKE, v_SKE;
  };
  // Attention of new positions on the layer's cache, which takes them in.
  at::Tensor Attend(const Attention& attention, const at::Tensor& x_TD, const RopeAngles& angles,
                    Layer* layer) const;
  bool MustStartAgain(int64_t before) const;

  const Decoder& decoder_;
  std::vector<int64_t> ids_;
  std::vector<Layer> layers_;
};

}  // namespace anamnesis::model
