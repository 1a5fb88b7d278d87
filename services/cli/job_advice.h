// SPDX-License-Identifier: Apache-2.0
// Advice on a job: what was given when it was submitted, and what can be said now that more is
// known of it. Thread-safe (pure).
#pragma once

#include <string>
#include <vector>

namespace anamnesis::v1 {
class Job;
}  // namespace anamnesis::v1

namespace anamnesis::cli {

// Lines as of config::LineOf, each once. `job` in the full view; `tuning_losses`: of its
// evaluations, in order; of its configuration nothing more is said where this program cannot read
// it.
std::vector<std::string> AdviceOf(const v1::Job& job,
                                  const std::vector<double>& tuning_losses = {});

}  // namespace anamnesis::cli
