// SPDX-License-Identifier: Apache-2.0
// The piece index of a split, format docs/formats/index.md: written in one pass, read whole,
// trusted only when every check passes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/io/file.h"
#include "workers/stream/pieces.h"
#include "workers/stream/row_source.h"

namespace anamnesis::stream {

// What an index was made from.
struct IndexSource {
  std::string manifest_sha256;
  std::string stream_digest;
  std::string split;
  uint32_t max_length = 0;
  uint32_t num_prefix_ids = 0;  // put before a document
  uint32_t num_tail_ids = 0;    // put after a document

  bool operator==(const IndexSource&) const = default;
};

// Writes the subjects of a split in order. Memory: one bit a subject.
class PieceIndexWriter {
 public:
  // kInvalidArgument when the split's name is longer than its field.
  static StatusOr<PieceIndexWriter> Create(const std::string& path, const IndexSource& source);

  // The next subject: lengths of its document's pieces, none when it has no document.
  Status AddSubject(std::span<const uint32_t> piece_lengths);
  // `totals` counts what was added. The index then appears under its path.
  Status Commit(const StreamTotals& totals);

 private:
  explicit PieceIndexWriter(StagedFile file) : file_(std::move(file)) {}
  Status Flush();

  StagedFile file_;
  uint32_t crc_ = 0;
  std::string buffer_;
  std::string subject_bits_;
  uint64_t num_subjects_ = 0;
};

// Immutable after Read; thread-safe. Memory: 4 bytes a piece, a bit a subject, and 3 % more for the
// two directories below.
class PieceIndex {
 public:
  // kNotFound when there is no file, kDataLoss (file and what is wrong) when it is damaged.
  static StatusOr<PieceIndex> Read(const std::string& path);

  const IndexSource& source() const { return source_; }
  const StreamTotals& totals() const { return totals_; }
  std::span<const Piece> pieces() const { return pieces_; }

  struct Place {
    uint64_t subject = 0;   // index in the split
    uint64_t document = 0;  // index among the documents
    uint32_t ordinal = 0;   // which piece of the document
  };
  Place Locate(uint32_t piece) const;
  // Ids of a piece without BOS and EOS.
  int64_t TokensOf(uint32_t piece) const;

 private:
  static constexpr size_t kPiecesPerMark = 256;
  static constexpr size_t kBytesPerMark = 64;

  PieceIndex() = default;
  Status ReadBody(const FileDescriptor& file, const std::string& path, uint64_t size_bytes);
  Status CheckPieces(const std::string& path) const;
  void BuildDirectories();

  IndexSource source_;
  StreamTotals totals_;
  std::vector<Piece> pieces_;
  std::vector<uint8_t> subject_bits_;
  std::vector<uint64_t> documents_before_piece_;  // [i]: first marks before piece i·kPiecesPerMark
  std::vector<uint64_t> documents_before_byte_;   // [i]: set bits before byte i·kBytesPerMark
};

}  // namespace anamnesis::stream
