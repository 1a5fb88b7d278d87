// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/row_source.h"

#include <numeric>
#include <optional>
#include <utility>

#include "workers/stream/document.h"
#include "workers/stream/index.h"
#include "workers/stream/pack_plan.h"

namespace anamnesis::stream {
namespace {

StatusOr<PieceIndex> ReadIndex(const std::string& path) {
  StatusOr<PieceIndex> index = PieceIndex::Read(path);
  if (absl::IsNotFound(index.status())) {
    return FailedPrecondition(MessageOf(index.status()), "; it is made before ranks start");
  }
  return index;
}

PackPlan PlanOf(const PieceIndex& index, const StreamSpec& spec, uint64_t seed, int64_t epoch,
                bool shuffle) {
  return PackPlan::Make(index.pieces(), index.source().max_length,
                        {.manifest_sha256 = index.source().manifest_sha256,
                         .stream_digest = index.source().stream_digest,
                         .seed = seed,
                         .epoch = epoch,
                         .shuffle = shuffle,
                         .alone = !spec.is_packed()});
}

class ShardRowSource final : public RowSource {
 public:
  ShardRowSource(const RowSourceOptions& options, PieceIndex index,
                 std::unique_ptr<DocumentMaker> maker)
      : options_(options), index_(std::move(index)), maker_(std::move(maker)) {}

  const StreamTotals& totals() const override { return index_.totals(); }

  Status SelectEpoch(int64_t epoch) override {
    if (epoch < 0) return InvalidArgument("epoch ", epoch, " is negative");
    plan_ = PlanOf(index_, options_.spec, options_.seed, epoch, options_.shuffle);
    return absl::OkStatus();
  }

  int64_t num_rows() const override { return plan_.num_rows(); }

  int64_t RowTokens(int64_t row) const override {
    const std::span<const uint32_t> pieces = plan_.PiecesOf(row);
    return std::accumulate(
        pieces.begin(), pieces.end(), int64_t{0},
        [this](int64_t sum, uint32_t piece) { return sum + index_.TokensOf(piece); });
  }

  int64_t RowLabels(int64_t row) const override {
    if (!options_.spec.is_packed()) return 1;
    return plan_.IdsOf(row) - static_cast<int64_t>(plan_.PiecesOf(row).size());
  }

  StatusOr<PackedRow> Row(int64_t row) override {
    if (row < 0 || row >= num_rows()) {
      return InvalidArgument("row ", row, " of an epoch of ", num_rows(), " rows");
    }
    PackedRow packed;
    packed.ids.reserve(static_cast<size_t>(plan_.IdsOf(row)));
    for (const uint32_t piece : plan_.PiecesOf(row)) {
      ANAM_RETURN_IF_ERROR(AppendPiece(piece, &packed));
    }
    packed.num_tokens = RowTokens(row);
    if (!options_.spec.is_packed()) {
      packed.subject_id = document_.subject_id;
      packed.label = document_.label;
      packed.num_prompt_ids = document_.num_prompt_ids;
    }
    return packed;
  }

 private:
  Status AppendPiece(uint32_t piece, PackedRow* packed) {
    const PieceIndex::Place place = index_.Locate(piece);
    const uint32_t length = index_.pieces()[piece].length();
    if (place.subject != subject_) {
      subject_.reset();  // stays so when Make fails
      ANAM_RETURN_IF_ERROR(maker_->Make(place.subject, &document_));
      subject_ = place.subject;
    }
    const std::vector<uint32_t>& lengths = document_.piece_lengths;
    if (place.ordinal >= lengths.size() || lengths[place.ordinal] != length) {
      return DataLoss(options_.index_path, ": piece ", piece, " of subject ", place.subject,
                      " is not what the shards give; remove this file and start again");
    }
    const auto begin =
        document_.ids.begin() +
        std::accumulate(lengths.begin(), lengths.begin() + place.ordinal, std::ptrdiff_t{0});
    packed->ids.insert(packed->ids.end(), begin, begin + length);
    packed->segment_lengths.push_back(static_cast<int32_t>(length));
    return absl::OkStatus();
  }

  const RowSourceOptions options_;
  const PieceIndex index_;
  const std::unique_ptr<DocumentMaker> maker_;
  PackPlan plan_;
  Document
      document_;  // of subject_: neighbouring pieces of a document are often neighbours in a row
  std::optional<uint64_t> subject_;
};

}  // namespace

StatusOr<std::unique_ptr<RowSource>> RowSource::Open(const RowSourceOptions& options) {
  ANAM_ASSIGN_OR_RETURN(PieceIndex index, ReadIndex(options.index_path));
  ANAM_ASSIGN_OR_RETURN(std::unique_ptr<DocumentMaker> maker,
                        DocumentMaker::Open(options.shards_directory, options.split,
                                            options.model_directory, options.spec));
  if (index.source() != maker->source()) {
    return FailedPrecondition(options.index_path,
                              ": made for another split, shard set, tokenizer or stream; expected "
                              "stream digest ",
                              maker->source().stream_digest, " and manifest ",
                              maker->source().manifest_sha256);
  }
  auto source = std::make_unique<ShardRowSource>(options, std::move(index), std::move(maker));
  ANAM_RETURN_IF_ERROR(source->SelectEpoch(0));
  return std::unique_ptr<RowSource>(std::move(source));
}

StatusOr<int64_t> RowsOfEpoch(const std::string& index_path, const StreamSpec& spec, uint64_t seed,
                              int64_t epoch) {
  ANAM_ASSIGN_OR_RETURN(const PieceIndex index, ReadIndex(index_path));
  if (index.source().stream_digest != StreamDigest(spec)) {
    return FailedPrecondition(index_path, ": made for another stream digest, ",
                              index.source().stream_digest);
  }
  return PlanOf(index, spec, seed, epoch, /*shuffle=*/true).num_rows();
}

}  // namespace anamnesis::stream
