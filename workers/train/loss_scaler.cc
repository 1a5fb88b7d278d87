// SPDX-License-Identifier: Apache-2.0
#include "workers/train/loss_scaler.h"

#include <cmath>

namespace anamnesis::train {

void LossScaler::Update(bool finite) {
  if (!finite) {
    scale *= kBackoff;
    growth_tracker = 0;
    ++skipped_steps;
    return;
  }
  if (++growth_tracker < kGrowthInterval) return;
  growth_tracker = 0;
  // The scale is an fp32 number in GradScaler: it stays where the next one would be infinite.
  if (std::isfinite(static_cast<float>(scale * kGrowth))) scale *= kGrowth;
}

}  // namespace anamnesis::train
