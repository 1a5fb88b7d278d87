// SPDX-License-Identifier: Apache-2.0
// A piece as the index holds it, and how a document becomes pieces: parts of at most max_length
// ids, cut on phrase borders. Nothing is lost: the pieces laid end to end are the document, unless
// a lone id remains that predicts nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace anamnesis::stream {

// Bit 31: first piece of its document; bits 0–30: number of ids.
struct Piece {
  static constexpr uint32_t kFirst = 0x80000000;
  uint32_t bits = 0;

  uint32_t length() const { return bits & ~kFirst; }
  bool is_first() const { return (bits & kFirst) != 0; }
};
static_assert(sizeof(Piece) == 4);

// `borders`: ascending indices in the ids where a phrase begins (the first phrase and indices out
// of range are ignored). Returns the lengths of the pieces, which sum to num_ids. Each is ≤
// max_length (≥ 2), and as long as a phrase border allows; a phrase that does not fit is split
// hard, where the ids run out. Each is ≥ 2 except where that cannot be: a document of one id, or
// max_length 2 and an odd number of ids.
std::vector<uint32_t> CutIntoPieces(std::span<const uint32_t> borders, uint32_t num_ids,
                                    uint32_t max_length);

}  // namespace anamnesis::stream
