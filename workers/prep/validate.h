// SPDX-License-Identifier: Apache-2.0
// Checks raw data in the seed layout, or a shard set, whole: goes on after a finding where it can.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"

namespace anamnesis::prep {

struct ValidationReport {
  std::vector<std::string> facts;     // counts and notes, a line each
  std::vector<std::string> findings;  // the first hundred, a line each
  uint64_t num_findings = 0;

  void AddFinding(const Status& status);
  // The report for people.
  std::string Text() const;
};

// The data section of a folder in the seed layout: the tables are those of the usual names inside
// it.
StatusOr<config::DataSection> SeedLayoutOf(const std::string& directory);

// Strict: what prepare refuses is a finding. Lenient: times out of order and subjects without a
// label are counted and passed over.
ValidationReport ValidateSeedLayout(const config::DataSection& data, bool lenient);

// Every checksum, every block, every subject.
ValidationReport ValidateShards(const std::string& directory);

// Whether the folder holds a manifest of a shard set (in whatever state).
bool LooksLikeShards(const std::string& path);

}  // namespace anamnesis::prep
