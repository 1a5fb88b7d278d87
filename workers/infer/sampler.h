// SPDX-License-Identifier: Apache-2.0
// Which id comes next, from the scores of all of them: the largest, or one drawn by temperature and
// nucleus (Holtzman et al. 2020, section 3.1). Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/philox.h"

namespace anamnesis::infer {

struct SamplingOptions {
  double temperature = 0;  // ≥ 0; 0: greedy. Scores are divided by it
  double top_p = 1;        // in (0, 1]: of the ids by falling probability, those before which the
                           // sum of probabilities is below top_p
  uint64_t seed = 0;       // the same seed and scores give the same ids
};

// Thread-compatible. Each draw takes one number of the seed's Philox stream.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);

  // `scores`: finite, at least one. Ties of the greedy choice go to the smallest id, as in HF.
  int64_t Choose(std::span<const float> scores);

 private:
  SamplingOptions options_;
  PhiloxStream random_;
};

// scores[id] of every id in `ids` (each once, however often it is there) is divided by `penalty`
// where positive, else multiplied. Ids beyond the scores are left out.
void PenaliseRepetition(std::span<const int64_t> ids, double penalty, std::span<float> scores);

}  // namespace anamnesis::infer
