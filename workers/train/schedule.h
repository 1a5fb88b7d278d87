// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules, equal to transformers.get_scheduler (optimization.py). Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"

namespace anamnesis::train {

struct ScheduleOptions {
  std::string type = "linear";  // linear | cosine | constant | constant_with_warmup
  double learning_rate = 0;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;
};

class Schedule {
 public:
  // kUnimplemented for another type.
  static StatusOr<Schedule> Create(const ScheduleOptions& options);
  // The rate that optimizer step `step` uses (1-based): HF's multiplier of step − 1.
  double RateAt(int64_t step) const;

 private:
  enum class Type { kLinear, kCosine, kConstant, kConstantWithWarmup };
  Schedule(Type type, const ScheduleOptions& options) : type_(type), options_(options) {}
  double Multiplier(int64_t steps_done) const;

  Type type_;
  ScheduleOptions options_;
};

}  // namespace anamnesis::train
