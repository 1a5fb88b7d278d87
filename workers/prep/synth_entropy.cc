// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/synth_entropy.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string_view>

#include "workers/text/tokenizer.h"

namespace anamnesis::prep {
namespace {

// Turns narratives into documents.
class DocumentEncoder {
 public:
  static StatusOr<DocumentEncoder> Create(SynthNarratives& narratives,
                                          const text::Tokenizer& tokenizer) {
    DocumentEncoder encoder(narratives, tokenizer);
    ANAM_ASSIGN_OR_RETURN(encoder.encoder_,
                          text::NarrativeEncoder::Create(tokenizer, narratives.separator()));
    ANAM_ASSIGN_OR_RETURN(encoder.eos_id_, tokenizer.eos_id());
    return encoder;
  }

  using Sink =
      std::function<void(const stream::Narrative& narrative, const std::vector<int32_t>& ids)>;

  Status ReadSplit(const std::string& split, const Sink& sink) {
    return narratives_.ReadSplit(split, [&](const stream::Narrative& narrative) -> Status {
      if (narrative.phrases.empty()) return absl::OkStatus();
      texts_.clear();
      for (const uint32_t phrase : narrative.phrases) {
        texts_.push_back(narratives_.phrases()[phrase].text);
      }
      ANAM_RETURN_IF_ERROR(
          encoder_->Encode(narrative.phrases, texts_, &narrative_ids_, &unit_begin_));
      ids_ = tokenizer_.prefix_ids();
      ids_.insert(ids_.end(), narrative_ids_.begin(), narrative_ids_.end());
      ids_.push_back(eos_id_);
      sink(narrative, ids_);
      return absl::OkStatus();
    });
  }

 private:
  DocumentEncoder(SynthNarratives& narratives, const text::Tokenizer& tokenizer)
      : narratives_(narratives), tokenizer_(tokenizer) {}

  SynthNarratives& narratives_;
  const text::Tokenizer& tokenizer_;
  std::unique_ptr<text::NarrativeEncoder> encoder_;
  int32_t eos_id_ = 0;
  std::vector<std::string_view> texts_;
  std::vector<int32_t> narrative_ids_, ids_;
  std::vector<uint32_t> unit_begin_;
};

}  // namespace

LabelCounts::LabelCounts(int64_t vocab_size)
    : labels_(static_cast<size_t>(vocab_size)), befores_(static_cast<size_t>(vocab_size)) {}

void LabelCounts::Add(const std::vector<int32_t>& document) {
  for (size_t i = 1; i < document.size(); ++i) {
    ++num_labels_;
    ++befores_[static_cast<size_t>(document[i - 1])];
    ++labels_[static_cast<size_t>(document[i])];
    ++pairs_[Pair(document[i - 1], document[i])];
  }
}

double LabelCounts::Unigram(int32_t label) const {
  return (static_cast<double>(labels_[static_cast<size_t>(label)]) + 1) /
         (static_cast<double>(num_labels_) + static_cast<double>(labels_.size()));
}

double LabelCounts::Bigram(int32_t before, int32_t label) const {
  const auto pair = pairs_.find(Pair(before, label));
  const double count = pair == pairs_.end() ? 0 : static_cast<double>(pair->second);
  return (count + Unigram(label)) /
         (static_cast<double>(befores_[static_cast<size_t>(before)]) + 1);
}

StatusOr<LabelEntropies> MeasureLabelEntropies(SynthNarratives& narratives,
                                               const std::string& base_directory) {
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<text::Tokenizer> tokenizer,
                        text::Tokenizer::FromDirectory(base_directory));
  ANAM_ASSIGN_OR_RETURN(DocumentEncoder encoder, DocumentEncoder::Create(narratives, *tokenizer));
  LabelEntropies result;
  result.vocab_size = tokenizer->vocab_size();
  LabelCounts counts(result.vocab_size);
  const auto measure_length = [&](const std::vector<int32_t>& ids) {
    result.longest_document_ids =
        std::max(result.longest_document_ids, static_cast<uint32_t>(ids.size()));
  };
  ANAM_RETURN_IF_ERROR(
      encoder.ReadSplit("train", [&](const stream::Narrative&, const std::vector<int32_t>& ids) {
        measure_length(ids);
        counts.Add(ids);
      }));
  result.num_train_labels = counts.num_labels();
  ANAM_RETURN_IF_ERROR(encoder.ReadSplit(
      "tuning", [&](const stream::Narrative& narrative, const std::vector<int32_t>& ids) {
        measure_length(ids);
        result.num_tuning_phrases += narrative.phrases.size();
        result.num_tuning_labels += ids.size() - 1;
        for (size_t i = 1; i < ids.size(); ++i) {
          result.unigram -= std::log(counts.Unigram(ids[i]));
          result.bigram -= std::log(counts.Bigram(ids[i - 1], ids[i]));
        }
      }));
  if (result.num_tuning_labels == 0) return Internal("the split tuning has no text");
  result.unigram /= static_cast<double>(result.num_tuning_labels);
  result.bigram /= static_cast<double>(result.num_tuning_labels);
  return result;
}

}  // namespace anamnesis::prep
