// SPDX-License-Identifier: Apache-2.0
// Which pieces share a row, and in which order the rows come: a pure function of (shard manifest,
// stream digest, seed, epoch). Shuffled: the pieces are shuffled (Fisher-Yates), placed one after
// another by best fit (into the row with the least room that is still enough, else a new row), and
// the rows are shuffled. Not shuffled (evaluation): the same without the two shuffles. Immutable,
// thread-safe. Memory: 4 bytes a piece and 16 a row; 12 bytes a piece while it is made.
// O(pieces · log_64 max_length).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "workers/stream/pieces.h"

namespace anamnesis::stream {

struct PackPlanKey {
  std::string manifest_sha256;
  std::string stream_digest;
  uint64_t seed = 0;
  int64_t epoch = 0;
  bool shuffle = true;
  bool alone = false;  // every piece is a row of its own: no packing
};

class PackPlan {
 public:
  PackPlan() = default;
  // Every piece has 1 to max_length ids. At most 2^32 − 2 pieces.
  static PackPlan Make(std::span<const Piece> pieces, uint32_t max_length, const PackPlanKey& key);

  int64_t num_rows() const { return static_cast<int64_t>(row_ids_.size()); }
  // Pieces of a row in the order they are laid out.
  std::span<const uint32_t> PiecesOf(int64_t row) const;
  int64_t IdsOf(int64_t row) const { return row_ids_[static_cast<size_t>(row)]; }

 private:
  std::vector<uint32_t> pieces_;     // by row
  std::vector<uint64_t> row_begin_;  // index into pieces_; one more than rows
  std::vector<uint32_t> row_ids_;    // sum of lengths
};

}  // namespace anamnesis::stream
