// SPDX-License-Identifier: Apache-2.0
// Loss scaling for training in fp16 (Micikevicius et al. 2018, section 3.2) as
// torch.amp.GradScaler does it: the loss is multiplied by `scale` before the backward pass, the
// gradient divided by it after; a step whose gradient is not finite is skipped and halves the
// scale, and 2000 steps in a row that were made double it. docs/formats/optimizer.md. Torch-free.
#pragma once

#include <cstdint>

namespace anamnesis::train {

struct LossScaler {
  static constexpr double kGrowth = 2.0;
  static constexpr double kBackoff = 0.5;
  static constexpr int64_t kGrowthInterval = 2000;

  double scale = 65536.0;      // a power of two: dividing by it changes no bit of a normal number
  int64_t growth_tracker = 0;  // steps made since the scale changed or a step was skipped
  int64_t skipped_steps = 0;   // of the run

  // After a step: whether its loss and gradient were finite.
  void Update(bool finite);
  // Below it a gradient that is not finite is no overflow that a smaller scale would cure.
  bool is_exhausted() const { return scale < 1.0; }

  bool operator==(const LossScaler&) const = default;
};

}  // namespace anamnesis::train
