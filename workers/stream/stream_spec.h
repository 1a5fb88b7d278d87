// SPDX-License-Identifier: Apache-2.0
// What turns a shard set into token rows: the cut, the row length, and whether rows are packed
// documents or one subject each. Its digest, with the
// tokenizer's and the profile's, is the stream digest; a resume under another stream digest is
// refused, naming the key that changed.
#pragma once

#include <string>
#include <vector>

#include "common/io/json.h"
#include "workers/stream/prompt.h"

namespace anamnesis::stream {

struct StreamSpec {
  std::string profile = "seed";    // data.profile
  std::string time_mode = "none";  // data.time_mode
  int cutoff_months = 0;           // data.cutoff_months
  std::string apply_to = "cases";  // data.apply_to: cases | all
  std::string boundary =
      "exclusive";  // data.boundary: exclusive (time < cutoff) | inclusive (time ≤ cutoff)
  std::string on_missing_date = "error";  // data.on_missing_date: error | keep | drop
  int max_length = 0;                     // model.max_length: tokens in a row
  std::string tokenizer_sha256;           // digest of the tokenizer's files that decide ids
  // packed: pretraining, nothing of a document is lost. documents: one subject a row, cut to
  // max_length, with its class. prompts: likewise, with a question and the answer of its class.
  std::string rows = "packed";
  std::string truncation = "newest";  // data.truncation, of documents and prompts
  Prompt prompt;                      // data.prompt, of prompts
  // Of documents and prompts: the sites of classes 1, 2, …; class 0 is the controls. Empty: every
  // case is class 1.
  std::vector<std::string> class_sites;

  bool is_packed() const { return rows == "packed"; }
  bool has_prompt() const { return rows == "prompts"; }

  bool operator==(const StreamSpec&) const = default;
};

Json ToJson(const StreamSpec& spec);
StatusOr<StreamSpec> StreamSpecFromJson(const Json& json, const std::string& source);

// SHA-256 over the canonical JSON of the spec.
std::string StreamDigest(const StreamSpec& spec);

// The configuration keys ("data.cutoff_months", …) in which two specs differ.
std::vector<std::string> ChangedKeys(const StreamSpec& before, const StreamSpec& after);

}  // namespace anamnesis::stream
