// SPDX-License-Identifier: Apache-2.0
// Rows of an epoch by index: the pack plan says which pieces a row holds, the shard set and the
// tokenizer make its ids. The order of rows is a pure function of (shard manifest, stream digest,
// seed, epoch).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/status.h"
#include "common/base/work_progress.h"
#include "workers/stream/batch.h"
#include "workers/stream/stream_spec.h"

namespace anamnesis::stream {

struct StreamTotals {
  int64_t num_subjects = 0;
  int64_t num_events = 0;            // in the split, before the cut
  int64_t num_cut_events = 0;        // removed by the cutoff
  int64_t num_dropped_subjects = 0;  // on_missing_date: drop
  int64_t num_documents = 0;         // subjects with text
  int64_t num_pieces = 0;
  int64_t num_tokens = 0;  // ids without BOS and EOS
  int64_t num_labels = 0;  // ids − pieces
  int64_t num_ids = 0;
  int64_t num_dropped_ids = 0;  // of remainders too short to predict anything; not in num_ids

  bool operator==(const StreamTotals&) const = default;
};

// Builds the index of a split (one pass over it at token speed) and writes it durably to
// `index_path` (format: docs/formats/index.md); returns its totals. An existing, intact index of
// the same split, stream and manifest is reused. A damaged one is built anew: `damage` then says
// what was wrong with it (without `damage` a line on stderr does). kInvalidArgument when the spec
// is not valid, the split is empty of documents, or spec.tokenizer_sha256 is not that of the
// tokenizer in `model_directory`; kUnimplemented for what is not built yet; errors of the shard set
// as they are. `progress`, in subjects, may be empty; it is not told of an index that is reused.
StatusOr<StreamTotals> EnsureIndex(const std::string& shards_directory, const std::string& split,
                                   const std::string& model_directory, const StreamSpec& spec,
                                   const std::string& index_path, std::string* damage = nullptr,
                                   const WorkProgress& progress = {});

struct RowSourceOptions {
  std::string shards_directory;
  std::string split;
  std::string model_directory;  // holds tokenizer.json
  StreamSpec spec;
  std::string index_path;
  uint64_t seed = 42;
  bool shuffle = true;  // false for evaluation: pieces packed in split order
};

// Thread-compatible; the const members may be called while another thread is in Row().
class RowSource {
 public:
  // The plan of epoch 0 is current. The index must be there (EnsureIndex): kDataLoss when it is
  // damaged, kFailedPrecondition when it is missing or another stream's.
  static StatusOr<std::unique_ptr<RowSource>> Open(const RowSourceOptions& options);
  virtual ~RowSource() = default;

  virtual const StreamTotals& totals() const = 0;
  // Makes the plan of an epoch current. Milliseconds.
  virtual Status SelectEpoch(int64_t epoch) = 0;
  virtual int64_t num_rows() const = 0;  // of the current epoch
  // Of a row of the current epoch, 0 ≤ row < num_rows(), from the plan alone, without reading.
  virtual int64_t RowTokens(int64_t row) const = 0;  // ids without BOS and EOS
  virtual int64_t RowLabels(int64_t row) const = 0;  // of documents and prompts: 1, the class
  virtual StatusOr<PackedRow> Row(int64_t row) = 0;
};

// How many rows an epoch has under shuffle, for total_steps; the same for every epoch is NOT
// guaranteed, so the number of rows of each epoch is summed by the caller. Errors as
// RowSource::Open.
StatusOr<int64_t> RowsOfEpoch(const std::string& index_path, const StreamSpec& spec, uint64_t seed,
                              int64_t epoch);

}  // namespace anamnesis::stream
