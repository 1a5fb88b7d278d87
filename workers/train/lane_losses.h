// SPDX-License-Identifier: Apache-2.0
// The sum of per-lane losses over all ranks, in tree order. Torch's exceptions fly.
#pragma once

#include <c10/core/Device.h>

#include <vector>

#include "workers/collective/group.h"

namespace anamnesis::train {

// `own` holds the loss sum of each of this rank's lanes. The exchange also carries one flag:
// `*flag` comes back true on every rank when it was true on any. The tensors of the exchange live
// on `device`.
double SumLaneLosses(collective::Group& group, int num_lanes, const std::vector<double>& own,
                     at::Device device, bool* flag);

}  // namespace anamnesis::train
