// SPDX-License-Identifier: Apache-2.0
// The file `phrases` of a shard set (docs/formats/shards.md). Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "workers/shard/reader.h"

namespace anamnesis::shard {

StatusOr<std::string> EncodePhrases(const std::vector<Phrase>& phrases);
// kDataLoss when `content` is not exactly one intact phrase table.
StatusOr<std::vector<Phrase>> DecodePhrases(std::string_view content);

}  // namespace anamnesis::shard
