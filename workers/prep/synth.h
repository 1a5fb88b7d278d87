// SPDX-License-Identifier: Apache-2.0
// The verb `synth`: a seeded cohort in the seed layout, a tiny random base model for it, and
// truth.json: what the best model could reach on it (docs/synth.md).
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "workers/prep/synth_world.h"

namespace anamnesis::prep {

struct SynthOptions {
  std::string out = {};         // with an initializer, so that designated ones may leave it out
  uint64_t num_subjects = 600;  // ≥ kMinSynthSubjects
  uint64_t seed = 1;
  SynthStyle style = SynthStyle::kReadme;
  bool base = true;  // also DIR/base, which the token entropies need
};

inline constexpr uint64_t kMinSynthSubjects = 10;  // so that every split has one
inline constexpr uint64_t kMaxSynthSubjects = 100'000'000;

// Writes the cohort and returns the lines of the summary. kAlreadyExists (exit 5): `out` is not
// empty; nothing is written then. truth.json is written last: a folder without it is incomplete.
// Memory does not grow with the number of subjects but for the labels of the cohort when it is read
// back for the entropies.
StatusOr<std::string> Synthesize(const SynthOptions& options);

// The command line. Returns the process's exit code: 2 for a usage error.
int RunSynth(int argc, char** argv);

}  // namespace anamnesis::prep
