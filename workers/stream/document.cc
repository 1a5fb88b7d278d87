// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/document.h"

#include <limits>
#include <utility>

#include "workers/stream/pieces.h"

namespace anamnesis::stream {
namespace {

// Below this a piece could be left with one id (pieces.h).
constexpr int kMinLength = 3;
constexpr size_t kMaxTailIds = 2;  // fit in any last piece, so that its tokens can be counted

}  // namespace

StatusOr<std::unique_ptr<DocumentMaker>> DocumentMaker::Create(
    std::unique_ptr<shard::ShardSet> shards, std::unique_ptr<text::Tokenizer> tokenizer,
    const std::string& split, const StreamSpec& spec) {
  if (spec.max_length < kMinLength) {
    return InvalidArgument("model.max_length: ", spec.max_length, " is below ", kMinLength);
  }
  std::unique_ptr<DocumentMaker> maker(new DocumentMaker);
  ANAM_ASSIGN_OR_RETURN(maker->rule_, NarrativeRule::FromSpec(spec));
  ANAM_ASSIGN_OR_RETURN(maker->split_, shards->Split(split));
  maker->shards_ = std::move(shards);
  maker->tokenizer_ = std::move(tokenizer);
  ANAM_RETURN_IF_ERROR(maker->FindTail(spec.tokenizer_sha256));
  ANAM_ASSIGN_OR_RETURN(maker->encoder_, text::NarrativeEncoder::Create(*maker->tokenizer_,
                                                                        maker->rule_.separator()));
  IndexSource& source = maker->source_;
  source.manifest_sha256 = maker->shards_->manifest_sha256();
  source.stream_digest = StreamDigest(spec);
  source.split = split;
  source.max_length = static_cast<uint32_t>(spec.max_length);
  source.num_prefix_ids = static_cast<uint32_t>(maker->tokenizer_->prefix_ids().size());
  source.num_tail_ids = static_cast<uint32_t>(maker->tail_ids_.size());
  if (source.num_prefix_ids >= source.max_length) {
    return InvalidArgument("model.max_length: ", spec.max_length, " has no room behind the ",
                           source.num_prefix_ids, " tokens that begin a document");
  }
  return maker;
}

StatusOr<std::unique_ptr<DocumentMaker>> DocumentMaker::Open(const std::string& shards_directory,
                                                             const std::string& split,
                                                             const std::string& model_directory,
                                                             const StreamSpec& spec) {
  ANAM_ASSIGN_OR_RETURN(auto shards, shard::ShardSet::Open(shards_directory));
  ANAM_ASSIGN_OR_RETURN(auto tokenizer, text::Tokenizer::FromDirectory(model_directory));
  return Create(std::move(shards), std::move(tokenizer), split, spec);
}

// What follows the text: the post-processor's tokens, then EOS unless they end in it.
Status DocumentMaker::FindTail(const std::string& tokenizer_sha256) {
  if (tokenizer_->sha256() != tokenizer_sha256) {
    return InvalidArgument("the tokenizer's digest is ", tokenizer_->sha256(), ", expected ",
                           tokenizer_sha256.empty() ? "(none given)" : tokenizer_sha256,
                           ": the tokenizer files are not those the stream was made for");
  }
  ANAM_ASSIGN_OR_RETURN(const int32_t eos, tokenizer_->eos_id());
  tail_ids_ = tokenizer_->suffix_ids();
  if (tail_ids_.empty() || tail_ids_.back() != eos) tail_ids_.push_back(eos);
  if (tail_ids_.size() > kMaxTailIds) {
    return Unimplemented("a tokenizer that puts ", tail_ids_.size(),
                         " tokens behind a text is not built yet");
  }
  return absl::OkStatus();
}

Status DocumentMaker::Make(uint64_t subject_index, Document* document) {
  document->ids.clear();
  document->piece_lengths.clear();
  document->num_dropped_ids = 0;
  ANAM_RETURN_IF_ERROR(shards_->Read(split_.name, subject_index, &subject_));
  ANAM_RETURN_IF_ERROR(
      rule_.Apply(subject_, shards_->phrases(), split_.name, subject_index, &document->narrative));
  if (document->narrative.phrases.empty()) return absl::OkStatus();
  ANAM_RETURN_IF_ERROR(
      AddContext(Encode(document), Cat("split ", split_.name, ", subject ", subject_index)));
  CutUp(document);
  return absl::OkStatus();
}

Status DocumentMaker::Encode(Document* document) {
  phrase_texts_.clear();
  for (const uint32_t phrase : document->narrative.phrases) {
    phrase_texts_.push_back(shards_->phrases()[phrase].text);
  }
  ANAM_RETURN_IF_ERROR(
      encoder_->Encode(document->narrative.phrases, phrase_texts_, &narrative_ids_, &unit_begin_));
  const std::vector<int32_t>& prefix = tokenizer_->prefix_ids();
  if (narrative_ids_.size() > std::numeric_limits<int32_t>::max() - prefix.size()) {
    return InvalidArgument("a narrative of ", narrative_ids_.size(), " tokens is too long");
  }
  document->ids.reserve(prefix.size() + narrative_ids_.size() + tail_ids_.size());
  document->ids.assign(prefix.begin(), prefix.end());
  document->ids.insert(document->ids.end(), narrative_ids_.begin(), narrative_ids_.end());
  document->ids.insert(document->ids.end(), tail_ids_.begin(), tail_ids_.end());
  return absl::OkStatus();
}

void DocumentMaker::CutUp(Document* document) const {
  // The borders are those between phrases: BOS belongs to the first, EOS to the last.
  std::vector<uint32_t> borders;
  const uint32_t num_ids = static_cast<uint32_t>(document->ids.size());
  if (num_ids > source_.max_length) {
    borders.assign(unit_begin_.begin() + 1, unit_begin_.end());
    for (uint32_t& border : borders) border += source_.num_prefix_ids;
  }
  document->piece_lengths = CutIntoPieces(borders, num_ids, source_.max_length);
  if (document->piece_lengths.back() < 2) {
    document->num_dropped_ids = document->piece_lengths.back();
    document->piece_lengths.pop_back();
  }
}

}  // namespace anamnesis::stream
