// SPDX-License-Identifier: Apache-2.0
// Subjects of one pickle of the seed layout: a list of dicts `subject_id`, `tokens`, `timestamps`.
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "workers/shard/reader.h"

namespace anamnesis::prep {

struct RawSubject {
  int64_t subject_id = 0;
  std::vector<int64_t> tokens;    // ids of the vocabulary
  std::vector<int64_t> times_us;  // µs since 1970 UTC, shard::kStatic where the input has exactly
                                  // 0; as long as tokens
};

// Takes subject `index` of the file; may move out of it.
using RawSubjectSink = std::function<Status(uint64_t index, RawSubject& subject)>;

// Calls `sink` subject by subject. kInvalidArgument says offset or subject index and what was
// expected; the caller adds the file. The lists together may hold at most as many entries as the
// file has bytes (lists shared through the memo could otherwise make a small file endless).
Status ReadSeedSubjects(std::string_view pickle, const RawSubjectSink& sink);

// Seconds since 1970 as µs, rounded to the nearest; nothing for NaN and for more than 10¹² s
// (33,000 years).
bool MicrosFromSeconds(double seconds, int64_t* micros);

}  // namespace anamnesis::prep
