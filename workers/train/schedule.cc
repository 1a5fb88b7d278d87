// SPDX-License-Identifier: Apache-2.0
#include "workers/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace anamnesis::train {

StatusOr<Schedule> Schedule::Create(const ScheduleOptions& options) {
  if (options.type == "linear") return Schedule(Type::kLinear, options);
  if (options.type == "cosine") return Schedule(Type::kCosine, options);
  if (options.type == "constant") return Schedule(Type::kConstant, options);
  if (options.type == "constant_with_warmup") return Schedule(Type::kConstantWithWarmup, options);
  return Unimplemented("training.lr_scheduler_type: '", options.type,
                       "' is not built yet; use linear, cosine, constant or constant_with_warmup");
}

double Schedule::RateAt(int64_t step) const {
  return options_.learning_rate * Multiplier(step - 1);
}

double Schedule::Multiplier(int64_t steps_done) const {
  const auto done = static_cast<double>(steps_done);
  const auto warmup = static_cast<double>(options_.warmup_steps);
  const auto total = static_cast<double>(options_.total_steps);
  if (type_ == Type::kConstant) return 1.0;
  if (done < warmup) return done / std::max(1.0, warmup);
  switch (type_) {
    case Type::kLinear:
      return std::max(0.0, (total - done) / std::max(1.0, total - warmup));
    case Type::kCosine: {
      // num_cycles 0.5, HF's default
      const double progress = (done - warmup) / std::max(1.0, total - warmup);
      return std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * 0.5 * 2.0 * progress)));
    }
    default:
      return 1.0;
  }
}

}  // namespace anamnesis::train
