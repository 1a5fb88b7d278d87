// SPDX-License-Identifier: Apache-2.0
// Makes the piece index of a split, or finds that the one at hand will do.
#include <cstdio>
#include <numeric>

#include "common/io/file.h"
#include "workers/stream/document.h"
#include "workers/stream/index.h"
#include "workers/stream/row_source.h"

namespace anamnesis::stream {
namespace {

void Count(const Document& document, const IndexSource& source, bool packed, StreamTotals* totals) {
  ++totals->num_subjects;
  totals->num_events += static_cast<int64_t>(document.narrative.num_events);
  totals->num_cut_events += static_cast<int64_t>(document.narrative.num_cut_events);
  totals->num_dropped_subjects += document.narrative.dropped ? 1 : 0;
  totals->num_dropped_ids += document.num_dropped_ids;
  if (document.piece_lengths.empty()) return;
  const int64_t num_pieces = static_cast<int64_t>(document.piece_lengths.size());
  const int64_t num_ids =
      std::accumulate(document.piece_lengths.begin(), document.piece_lengths.end(), int64_t{0});
  ++totals->num_documents;
  totals->num_pieces += num_pieces;
  totals->num_ids += num_ids;
  totals->num_labels += packed ? num_ids - num_pieces : 1;
  totals->num_tokens += num_ids - source.num_prefix_ids - source.num_tail_ids;
}

StatusOr<StreamTotals> BuildIndex(DocumentMaker& maker, const std::string& index_path,
                                  const WorkProgress& progress) {
  ANAM_ASSIGN_OR_RETURN(PieceIndexWriter writer,
                        PieceIndexWriter::Create(index_path, maker.source()));
  StreamTotals totals;
  Document document;
  if (progress) progress(0, maker.split().num_subjects);
  for (uint64_t i = 0; i < maker.split().num_subjects; ++i) {
    ANAM_RETURN_IF_ERROR(maker.Make(i, &document));
    ANAM_RETURN_IF_ERROR(writer.AddSubject(document.piece_lengths));
    Count(document, maker.source(), maker.packed(), &totals);
    if (progress) progress(i + 1, maker.split().num_subjects);
  }
  if (totals.num_pieces == 0) {
    return InvalidArgument("split ", maker.split().name, ": none of its ", totals.num_subjects,
                           " subjects has text before the cutoff");
  }
  ANAM_RETURN_IF_ERROR(writer.Commit(totals));
  return totals;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

}  // namespace

StatusOr<StreamTotals> EnsureIndex(const std::string& shards_directory, const std::string& split,
                                   const std::string& model_directory, const StreamSpec& spec,
                                   const std::string& index_path, std::string* damage,
                                   const WorkProgress& progress) {
  ANAM_ASSIGN_OR_RETURN(std::unique_ptr<DocumentMaker> maker,
                        DocumentMaker::Open(shards_directory, split, model_directory, spec));
  const StatusOr<PieceIndex> existing = PieceIndex::Read(index_path);
  if (existing.ok() && existing->source() == maker->source()) return existing->totals();
  if (!existing.ok() && absl::IsDataLoss(existing.status())) {
    const std::string text = MessageOf(existing.status());
    if (damage != nullptr) {
      *damage = text;
    } else {
      std::fprintf(stderr, "%s; building it anew\n", text.c_str());
    }
  } else if (!existing.ok() && !absl::IsNotFound(existing.status())) {
    return existing.status();
  }
  ANAM_RETURN_IF_ERROR(MakeDirectories(FolderOf(index_path)));
  return BuildIndex(*maker, index_path, progress);
}

}  // namespace anamnesis::stream
