// SPDX-License-Identifier: Apache-2.0
// Narratives as text, one line a subject: `subject_id<TAB>narrative`, by the same code that
// streaming uses.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"

namespace anamnesis::prep {

struct RenderOptions {
  std::string split{};
  std::vector<int64_t> subject_ids{};  // empty: all, in input order; else in the order given
  std::optional<int64_t>
      as_of_us{};  // cut everybody here (minus cutoff_months when given) instead of by cancerdate
  std::optional<int64_t> cutoff_months{};  // instead of the configured one
};

using LineSink = std::function<void(const std::string& line)>;

// Raw data, through the whole pipeline in memory, a subject at a time; cut as the config says.
Status RenderRaw(const config::DataSection& data, const RenderOptions& options,
                 const LineSink& sink);

// A shard set; no cut unless the options ask for one.
Status RenderShards(const std::string& directory, const RenderOptions& options,
                    const LineSink& sink);

}  // namespace anamnesis::prep
