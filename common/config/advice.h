// SPDX-License-Identifier: Apache-2.0
// Advice: what is allowed but seldom wise, as rules over a configuration and what is known of the
// run so far. A rule whose facts are not known says nothing. Pure: thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/job_config.h"

namespace anamnesis::config {

// What is not in the configuration. Shares are between 0 and 1.
struct Facts {
  // Of the machine: ten times the CUDA compute capability of its oldest GPU (75 Turing, 80
  // Ampere); unset without one.
  std::optional<int> compute_capability = {};
  std::optional<int64_t> model_max_length = {};  // positions that the base model has
  // Of the data.
  std::optional<int64_t> total_steps = {};           // of the whole run
  std::optional<int64_t> train_documents = {};       // documents of `train`
  std::vector<double> class_shares = {};             // of the labels of `train`, by class
  std::optional<double> truncated_token_share = {};  // of all tokens, lost to model.max_length
  std::optional<double> medical_coverage = {};  // of the events whose codes that lookup is for,
  std::optional<double> lab_coverage = {};      // those that it has a term for
  // Of the run.
  std::optional<double> evaluation_time_share = {};  // of training and evaluation together
  std::vector<double> tuning_losses = {};            // of the evaluations, in order
  bool out_of_memory = false;                        // an attempt failed for lack of memory
};

enum class Severity {
  kTip,     // there may be a better choice
  kWarning  // the run hardly does what was meant
};
std::string_view NameOf(Severity severity);  // "tip", "warning"

struct Advice {
  std::string_view id;  // of the rule
  Severity severity = Severity::kTip;
  std::string key;     // that the remedy changes first, training.warmup_steps
  std::string text;    // what is the matter, with the numbers
  std::string remedy;  // what to do; settings that are not built yet are never proposed
};

// In the order of the rules.
std::vector<Advice> Advise(const JobConfig& config, const Facts& facts);

// The ids of all rules, in order.
std::vector<std::string_view> AdviceRules();

// "warning: KEY: TEXT; REMEDY": how advice stands among the notes of a job.
std::string LineOf(const Advice& advice);
// Of such a line; nothing for a note that is no advice.
std::optional<Severity> SeverityOfLine(std::string_view line);

}  // namespace anamnesis::config
