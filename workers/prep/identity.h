// SPDX-License-Identifier: Apache-2.0
// The identity of a shard set: a digest of its inputs' contents, the rules, the format and the
// code. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "workers/shard/manifest.h"

namespace anamnesis::prep {

std::string CodeVersion();

// Of the settings that change phrases, the rule table, and whether subjects without a label are
// taken.
std::string RulesSha256(const config::DataSection& data, bool unlabelled = false);

// `inputs` in manifest order: tables, then the pickles of each split.
std::string DigestOf(const std::vector<shard::InputRecord>& inputs,
                     const std::string& rules_sha256);

// Whether `directory` holds a set of this digest with every file intact. Damage is an error that
// names the file (kDataLoss), another set is `false`. Fills `manifest`.
StatusOr<bool> IsIntactSet(const std::string& directory, const std::string& digest,
                           shard::Manifest* manifest);

}  // namespace anamnesis::prep
