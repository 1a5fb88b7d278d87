// SPDX-License-Identifier: Apache-2.0
// A shard set made by several machines: each prepares a part, which is a shard set of some of the
// files, beside the set's folder; one makes the set of them. Its bytes are those of one machine.
#pragma once

#include <cstdint>
#include <string>

#include "workers/prep/prepare.h"

namespace anamnesis::prep {

inline constexpr uint64_t kMaxParts = 10'000;

// "3/8": the fourth of eight. kInvalidArgument.
Status ParsePart(const std::string& text, uint64_t* part, uint64_t* parts);

// `<out>.parts/<part>-of-<parts>`.
std::string PartFolder(const std::string& out, uint64_t part, uint64_t parts);

// Prepares `options.part` of `options.parts`, anew where an earlier one lies.
StatusOr<PrepareSummary> PreparePart(const config::DataSection& data,
                                     const PrepareOptions& options);

// kNotFound: a part is not there, names it. kFailedPrecondition: parts of other inputs, rules or
// code. kDataLoss: a damaged file. kInvalidArgument: a subject occurs in two of them. The parts are
// removed once the set is there.
StatusOr<PrepareSummary> MergeParts(const config::DataSection& data, uint64_t parts,
                                    const PrepareOptions& options);

}  // namespace anamnesis::prep
