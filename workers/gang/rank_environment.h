// SPDX-License-Identifier: Apache-2.0
// The environment of a rank's process.
#pragma once

#include <string>
#include <vector>

namespace anamnesis::gang {

// The environment of a rank: what a numeric program needs from ours (an allow-list: nothing
// secret), with OMP_NUM_THREADS set to `threads`, OMP_WAIT_POLICY to passive, and malloc told to
// keep large blocks.
std::vector<std::string> RankEnvironment(int threads);

}  // namespace anamnesis::gang
