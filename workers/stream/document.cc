// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/document.h"

#include <algorithm>
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
  maker->packed_ = spec.is_packed();
  maker->class_sites_ = spec.class_sites;
  if (!maker->packed_ && spec.truncation != "newest") {
    return Unimplemented("data.truncation: ", spec.truncation,
                         " is not built yet; supported: newest");
  }
  maker->shards_ = std::move(shards);
  maker->tokenizer_ = std::move(tokenizer);
  ANAM_RETURN_IF_ERROR(maker->FindTail(spec.tokenizer_sha256));
  if (spec.has_prompt()) ANAM_RETURN_IF_ERROR(maker->TakePrompt(spec));
  ANAM_ASSIGN_OR_RETURN(maker->encoder_, text::NarrativeEncoder::Create(*maker->tokenizer_,
                                                                        maker->rule_.separator()));
  IndexSource& source = maker->source_;
  source.manifest_sha256 = maker->shards_->manifest_sha256();
  source.stream_digest = StreamDigest(spec);
  source.split = split;
  source.max_length = static_cast<uint32_t>(spec.max_length);
  source.num_prefix_ids = static_cast<uint32_t>(maker->tokenizer_->prefix_ids().size());
  source.num_tail_ids = static_cast<uint32_t>(maker->tail_ids_.size());
  if (source.num_prefix_ids + (maker->packed_ ? 0 : source.num_tail_ids) >= source.max_length) {
    return InvalidArgument("model.max_length: ", spec.max_length, " has no room behind the ",
                           source.num_prefix_ids, " tokens that begin a document");
  }
  if (spec.has_prompt()) {
    ANAM_RETURN_IF_ERROR(maker->EncodeFrom(Narrative(), 0));
    if (source.max_length <
        source.num_prefix_ids + maker->narrative_ids_.size() + maker->longest_answer_) {
      return InvalidArgument("model.max_length: ", spec.max_length,
                             " has no room for data.prompt: ", maker->narrative_ids_.size(),
                             " tokens without a narrative, ", maker->longest_answer_,
                             " of the longest answer");
    }
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

// What follows the text: the post-processor's tokens, then in causal training EOS unless they end
// in it.
Status DocumentMaker::FindTail(const std::string& tokenizer_sha256) {
  if (tokenizer_->sha256() != tokenizer_sha256) {
    return InvalidArgument("the tokenizer's digest is ", tokenizer_->sha256(), ", expected ",
                           tokenizer_sha256.empty() ? "(none given)" : tokenizer_sha256,
                           ": the tokenizer files are not those the stream was made for");
  }
  tail_ids_ = tokenizer_->suffix_ids();
  if (packed_) {
    ANAM_ASSIGN_OR_RETURN(const int32_t eos, tokenizer_->eos_id());
    if (tail_ids_.empty() || tail_ids_.back() != eos) tail_ids_.push_back(eos);
  }
  if (tail_ids_.size() > kMaxTailIds) {
    return Unimplemented("a tokenizer that puts ", tail_ids_.size(),
                         " tokens behind a text is not built yet");
  }
  return absl::OkStatus();
}

// EOS alone ends a prompt's row, behind the answer.
Status DocumentMaker::TakePrompt(const StreamSpec& spec) {
  ANAM_RETURN_IF_ERROR(CheckPrompt(spec.prompt));
  const size_t num_classes = spec.class_sites.empty() ? 2 : spec.class_sites.size() + 1;
  if (spec.prompt.answers.size() != num_classes) {
    return InvalidArgument("data.prompt.answers: ", spec.prompt.answers.size(), " answers of ",
                           num_classes, " classes");
  }
  prompt_ = spec.prompt;
  ANAM_ASSIGN_OR_RETURN(answers_, AnswerIds(spec.prompt, *tokenizer_));
  for (const std::vector<int32_t>& answer : answers_) {
    longest_answer_ = std::max(longest_answer_, answer.size());
  }
  tail_ids_ = {answers_[0].back()};
  return absl::OkStatus();
}

StatusOr<int32_t> ClassOf(const shard::Subject& subject,
                          const std::vector<std::string>& class_sites) {
  if (!subject.is_case) return 0;
  if (class_sites.empty()) return 1;
  const auto site = std::find(class_sites.begin(), class_sites.end(), subject.site);
  if (site == class_sites.end()) {
    return InvalidArgument("a case without a site, or with one that is no class of this model");
  }
  return static_cast<int32_t>(site - class_sites.begin()) + 1;
}

Status DocumentMaker::Make(uint64_t subject_index, Document* document) {
  document->ids.clear();
  document->piece_lengths.clear();
  document->num_dropped_ids = 0;
  const std::string where = Cat("split ", split_.name, ", subject ", subject_index);
  ANAM_RETURN_IF_ERROR(shards_->Read(split_.name, subject_index, &subject_));
  ANAM_RETURN_IF_ERROR(
      rule_.Apply(subject_, shards_->phrases(), split_.name, subject_index, &document->narrative));
  document->subject_id = subject_.subject_id;
  if (packed_) {
    if (document->narrative.phrases.empty()) return absl::OkStatus();
    ANAM_RETURN_IF_ERROR(AddContext(Encode(document), where));
    CutUp(document);
    return absl::OkStatus();
  }
  if (document->narrative.dropped) return absl::OkStatus();
  const StatusOr<int32_t> label = ClassOf(subject_, class_sites_);
  if (!label.ok()) return AddContext(label.status(), where);
  document->label = *label;
  return AddContext(EncodeTruncated(document), where);
}

Status DocumentMaker::EncodeFrom(const Narrative& narrative, size_t first) {
  phrase_keys_.assign(narrative.phrases.begin() + static_cast<long>(first),
                      narrative.phrases.end());
  phrase_texts_.clear();
  for (const uint32_t phrase : phrase_keys_) {
    phrase_texts_.push_back(shards_->phrases()[phrase].text);
  }
  if (!prompt_) {
    return encoder_->Encode(phrase_keys_, phrase_texts_, &narrative_ids_, &unit_begin_);
  }
  if (first == 0 && !phrase_keys_.empty()) {
    ANAM_RETURN_IF_ERROR(
        encoder_->Encode(phrase_keys_, phrase_texts_, &narrative_ids_, &unit_begin_));
  }
  std::string text;
  for (size_t i = 0; i < phrase_texts_.size(); ++i) {
    if (i > 0) text += rule_.separator();
    text += phrase_texts_[i];
  }
  ANAM_ASSIGN_OR_RETURN(text::Encoding encoding,
                        tokenizer_->Encode(PromptText(*prompt_, text), /*with_offsets=*/false));
  narrative_ids_ = std::move(encoding.ids);
  return absl::OkStatus();
}

// Of prompts the longest answer has a place in every row: what a row shows of the narrative must
// not tell its answer.
size_t DocumentMaker::Room() const {
  return source_.max_length - source_.num_prefix_ids -
         (prompt_ ? longest_answer_ : size_t{source_.num_tail_ids});
}

Status DocumentMaker::Assemble(Document* document) const {
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

Status DocumentMaker::Encode(Document* document) {
  ANAM_RETURN_IF_ERROR(EncodeFrom(document->narrative, 0));
  return Assemble(document);
}

StatusOr<size_t> DocumentMaker::EncodeNewest(const Narrative& narrative) {
  narrative_ids_.clear();
  if (narrative.phrases.empty() && !prompt_) return size_t{0};
  const size_t room = Room();
  ANAM_RETURN_IF_ERROR(EncodeFrom(narrative, 0));
  const size_t num_ids = narrative_ids_.size();
  if (num_ids <= room) return num_ids;
  // A phrase that becomes the first may have other ids than in the middle: what fits is tried, from
  // the phrases that would fit by their ids in the whole.
  const auto enough = std::lower_bound(unit_begin_.begin(), unit_begin_.end(), num_ids - room);
  const size_t last = narrative.phrases.size() - 1;
  size_t first = std::min(static_cast<size_t>(enough - unit_begin_.begin()), last);
  bool fits = true;
  while (fits && first > 0) {  // most often one step back does not fit
    ANAM_RETURN_IF_ERROR(EncodeFrom(narrative, first - 1));
    fits = narrative_ids_.size() <= room;
    if (fits) --first;
  }
  ANAM_RETURN_IF_ERROR(EncodeFrom(narrative, first));
  while (narrative_ids_.size() > room && first < last) {
    ANAM_RETURN_IF_ERROR(EncodeFrom(narrative, ++first));
  }
  if (narrative_ids_.size() > room && prompt_) {
    ANAM_RETURN_IF_ERROR(EncodeFrom(narrative, narrative.phrases.size()));  // no phrase at all
  }
  if (narrative_ids_.size() > room) {  // the newest phrase alone: its end
    narrative_ids_.erase(narrative_ids_.begin(), narrative_ids_.end() - static_cast<long>(room));
  }
  return num_ids;
}

// A subject without text is a row, too: it is to be classified like any other.
Status DocumentMaker::EncodeTruncated(Document* document) {
  ANAM_ASSIGN_OR_RETURN(const size_t num_ids, EncodeNewest(document->narrative));
  document->num_dropped_ids = static_cast<uint32_t>(num_ids - narrative_ids_.size());
  if (prompt_) {
    const std::vector<int32_t>& prefix = tokenizer_->prefix_ids();
    const std::vector<int32_t>& answer = answers_[static_cast<size_t>(document->label)];
    document->ids.assign(prefix.begin(), prefix.end());
    document->ids.insert(document->ids.end(), narrative_ids_.begin(), narrative_ids_.end());
    document->num_prompt_ids = static_cast<uint32_t>(document->ids.size());
    document->ids.insert(document->ids.end(), answer.begin(), answer.end());
  } else {
    ANAM_RETURN_IF_ERROR(Assemble(document));
  }
  if (document->ids.empty()) {
    ANAM_ASSIGN_OR_RETURN(const int32_t eos, tokenizer_->eos_id());
    document->ids.push_back(eos);
  }
  document->piece_lengths = {static_cast<uint32_t>(document->ids.size())};
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
