// SPDX-License-Identifier: Apache-2.0
// A subject of a shard set as the ids of one document and where it is cut into pieces. The same
// code makes the index and the rows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/shard/reader.h"
#include "workers/stream/index.h"
#include "workers/stream/narrative.h"
#include "workers/stream/stream_spec.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::stream {

struct Document {
  Narrative narrative;
  std::vector<int32_t> ids;             // BOS + narrative + EOS; empty without text
  std::vector<uint32_t> piece_lengths;  // sum to ids.size() − num_dropped_ids
  uint32_t num_dropped_ids = 0;         // of a remainder that predicts nothing, or of truncation
  int64_t subject_id = 0;
  int32_t label = -1;           // of documents and prompts: the subject's class
  uint32_t num_prompt_ids = 0;  // of prompts: those before the answer
};

// 0 for controls; of cases 1 or, where the classes are sites, 1, 2, … in their order.
// kInvalidArgument for a case whose site is none of them.
StatusOr<int32_t> ClassOf(const shard::Subject& subject,
                          const std::vector<std::string>& class_sites);

// Thread-compatible.
class DocumentMaker {
 public:
  // kInvalidArgument: the spec is not valid or not of this tokenizer, the split is not in the set;
  // kUnimplemented: what is not built yet.
  static StatusOr<std::unique_ptr<DocumentMaker>> Create(std::unique_ptr<shard::ShardSet> shards,
                                                         std::unique_ptr<text::Tokenizer> tokenizer,
                                                         const std::string& split,
                                                         const StreamSpec& spec);
  static StatusOr<std::unique_ptr<DocumentMaker>> Open(const std::string& shards_directory,
                                                       const std::string& split,
                                                       const std::string& model_directory,
                                                       const StreamSpec& spec);

  const IndexSource& source() const { return source_; }
  bool packed() const { return packed_; }
  const shard::SplitSummary& split() const { return split_; }

  // Overwrites `document`, whose memory is reused.
  Status Make(uint64_t subject_index, Document* document);

 private:
  DocumentMaker() = default;
  Status FindTail(const std::string& tokenizer_sha256);
  Status TakePrompt(const StreamSpec& spec);
  // The ids that `ids` may have beside the prefix and what follows.
  size_t Room() const;
  // The ids of the narrative's phrases from `first` on, of prompts those of the prompt around them,
  // into narrative_ids_. unit_begin_ is set too, of prompts when `first` is 0: where the phrases
  // begin in the ids of the narrative alone.
  Status EncodeFrom(const Narrative& narrative, size_t first);
  // Those of the most phrases, counted from the newest, that have room; how many ids there were.
  StatusOr<size_t> EncodeNewest(const Narrative& narrative);
  Status Assemble(Document* document) const;
  Status Encode(Document* document);
  Status EncodeTruncated(Document* document);
  void CutUp(Document* document) const;

  std::unique_ptr<shard::ShardSet> shards_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<text::NarrativeEncoder> encoder_;
  NarrativeRule rule_;
  bool packed_ = true;
  std::vector<std::string> class_sites_;
  IndexSource source_;
  shard::SplitSummary split_;
  std::vector<int32_t> tail_ids_;
  std::optional<Prompt> prompt_;
  std::vector<std::vector<int32_t>> answers_;  // of prompts, by class
  size_t longest_answer_ = 0;
  // Scratch of Make.
  shard::Subject subject_;
  std::vector<uint32_t> phrase_keys_;
  std::vector<std::string_view> phrase_texts_;
  std::vector<int32_t> narrative_ids_;
  std::vector<uint32_t> unit_begin_;
};

}  // namespace anamnesis::stream
