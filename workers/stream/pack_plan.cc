// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/pack_plan.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "common/base/check.h"
#include "common/base/philox.h"
#include "common/base/sha256.h"
#include "common/base/status.h"

namespace anamnesis::stream {
namespace {

// The set of free capacities that some open row has, as a tree of 64-bit words: level 0 has a bit
// for each capacity, each higher level a bit for each non-zero word below.
class CapacitySet {
 public:
  explicit CapacitySet(uint32_t max_capacity) {
    size_t size = size_t{max_capacity} + 1;
    do {
      size = (size + 63) / 64;
      levels_.emplace_back(size, 0);
    } while (size > 1);
  }

  void Insert(uint32_t capacity) {
    for (std::vector<uint64_t>& level : levels_) {
      level[capacity / 64] |= uint64_t{1} << (capacity % 64);
      capacity /= 64;
    }
  }

  void Erase(uint32_t capacity) {
    for (std::vector<uint64_t>& level : levels_) {
      uint64_t& word = level[capacity / 64];
      word &= ~(uint64_t{1} << (capacity % 64));
      if (word != 0) return;
      capacity /= 64;
    }
  }

  // The smallest member ≥ capacity, or kNone.
  static constexpr uint32_t kNone = 0xFFFFFFFF;
  uint32_t AtLeast(uint32_t capacity) const {
    size_t at = capacity;
    for (size_t level = 0; level < levels_.size(); ++level) {
      const size_t word = at / 64;
      if (word >= levels_[level].size()) return kNone;
      const uint64_t rest = levels_[level][word] >> (at % 64);
      if (rest != 0) {
        at += static_cast<size_t>(std::countr_zero(rest));
        while (level > 0) {
          --level;
          at = at * 64 + static_cast<size_t>(std::countr_zero(levels_[level][at]));
        }
        return static_cast<uint32_t>(at);
      }
      at = word + 1;
    }
    return kNone;
  }

 private:
  std::vector<std::vector<uint64_t>> levels_;
};

// Rows with room, found by how much they have; among equals the row opened or filled last.
class OpenRows {
 public:
  explicit OpenRows(uint32_t max_length)
      : max_length_(max_length), capacities_(max_length), newest_(max_length + size_t{1}, kNone) {}

  // Places a piece and returns its row.
  uint32_t Place(uint32_t length) {
    const uint32_t capacity = capacities_.AtLeast(length);
    uint32_t row = kNone;
    if (capacity == CapacitySet::kNone) {
      row = static_cast<uint32_t>(older_.size());
      older_.push_back(kNone);
      AddRow(row, max_length_ - length);
      return row;
    }
    row = newest_[capacity];
    newest_[capacity] = older_[row];
    if (newest_[capacity] == kNone) capacities_.Erase(capacity);
    AddRow(row, capacity - length);
    return row;
  }

  size_t num_rows() const { return older_.size(); }

 private:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  void AddRow(uint32_t row, uint32_t capacity) {
    if (capacity == 0) return;
    older_[row] = newest_[capacity];
    newest_[capacity] = row;
    capacities_.Insert(capacity);
  }

  const uint32_t max_length_;
  CapacitySet capacities_;
  std::vector<uint32_t> newest_;  // by capacity: a row, from which older_ leads to the others
  std::vector<uint32_t> older_;   // by row
};

void Shuffle(std::vector<uint32_t>* values, PhiloxStream* random) {
  for (size_t i = values->size(); i > 1; --i) {
    std::swap((*values)[i - 1], (*values)[random->Below(i)]);
  }
}

std::vector<uint32_t> Iota(size_t size) {
  std::vector<uint32_t> values(size);
  std::iota(values.begin(), values.end(), 0U);
  return values;
}

PhiloxStream RandomOf(const PackPlanKey& key) {
  const std::string digest =
      Sha256Hex(Cat("pack plan\n", key.manifest_sha256, "\n", key.stream_digest, "\n", key.epoch));
  return PhiloxStream(key.seed, std::strtoull(digest.substr(0, 16).c_str(), nullptr, 16));
}

}  // namespace

PackPlan PackPlan::Make(std::span<const Piece> pieces, uint32_t max_length,
                        const PackPlanKey& key) {
  ANAM_CHECK(pieces.size() < 0xFFFFFFFF);
  PhiloxStream random = RandomOf(key);
  std::vector<uint32_t> order = Iota(pieces.size());
  if (key.shuffle) Shuffle(&order, &random);

  OpenRows open(max_length);
  std::vector<uint32_t> row_of(pieces.size());  // in the order of `order`
  for (size_t i = 0; i < order.size(); ++i) {
    const uint32_t length = pieces[order[i]].length();
    ANAM_CHECK(length >= 1 && length <= max_length);
    row_of[i] = key.alone ? static_cast<uint32_t>(i) : open.Place(length);
  }
  const size_t num_rows = key.alone ? order.size() : open.num_rows();
  std::vector<uint32_t> place = Iota(num_rows);  // of a row in the epoch
  if (key.shuffle) Shuffle(&place, &random);

  // Counting sort of the pieces by the place of their row.
  PackPlan plan;
  plan.row_ids_.assign(num_rows, 0);
  plan.row_begin_.assign(num_rows + 1, 0);
  for (size_t i = 0; i < order.size(); ++i) {
    row_of[i] = place[row_of[i]];
    ++plan.row_begin_[row_of[i] + size_t{1}];
    plan.row_ids_[row_of[i]] += pieces[order[i]].length();
  }
  std::partial_sum(plan.row_begin_.begin(), plan.row_begin_.end(), plan.row_begin_.begin());
  plan.pieces_.resize(order.size());
  std::vector<uint64_t> next(plan.row_begin_.begin(), plan.row_begin_.end() - 1);
  for (size_t i = 0; i < order.size(); ++i) plan.pieces_[next[row_of[i]]++] = order[i];
  return plan;
}

std::span<const uint32_t> PackPlan::PiecesOf(int64_t row) const {
  const size_t at = static_cast<size_t>(row);
  return std::span(pieces_).subspan(row_begin_[at], row_begin_[at + 1] - row_begin_[at]);
}

}  // namespace anamnesis::stream
