// SPDX-License-Identifier: Apache-2.0
// What simple models of a cohort's tokens reach, in nats per label: comparable with the loss on
// tuning that training reports (docs/synth.md). Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/status.h"
#include "workers/prep/synth_narratives.h"

namespace anamnesis::prep {

// Counts of the labels of documents: of every id but a document's first, with the id before it.
class LabelCounts {
 public:
  explicit LabelCounts(int64_t vocab_size);

  void Add(const std::vector<int32_t>& document);  // ids in [0, vocab_size)

  uint64_t num_labels() const { return num_labels_; }
  // (n(b) + 1) / (N + V), with n(b) the labels b of all N, V the vocabulary's size.
  double Unigram(int32_t label) const;
  // (n(a, b) + Unigram(b)) / (n(a) + 1), with n(a) the labels behind a: one pseudo-count, spread as
  // the unigram (MacKay and Peto 1995, section 2).
  double Bigram(int32_t before, int32_t label) const;

 private:
  static uint64_t Pair(int32_t before, int32_t label) {
    return static_cast<uint64_t>(static_cast<uint32_t>(before)) << 32 |
           static_cast<uint32_t>(label);
  }

  uint64_t num_labels_ = 0;
  std::vector<uint64_t> labels_, befores_;
  std::unordered_map<uint64_t, uint64_t> pairs_;
};

struct LabelEntropies {
  uint64_t num_train_labels = 0;
  uint64_t num_tuning_labels = 0;
  uint64_t num_tuning_phrases = 0;
  uint32_t longest_document_ids = 0;  // of train and tuning
  int64_t vocab_size = 0;
  double unigram = 0, bigram = 0;  // nats per label of tuning under the counts of train
};

// Documents as in training: what the tokenizer puts in front, the narrative, EOS; whole, that is
// with model.max_length ≥ longest_document_ids.
StatusOr<LabelEntropies> MeasureLabelEntropies(SynthNarratives& narratives,
                                               const std::string& base_directory);

}  // namespace anamnesis::prep
