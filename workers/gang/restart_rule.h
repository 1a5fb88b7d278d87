// SPDX-License-Identifier: Apache-2.0
// What `run` does after a gang has ended badly. It never restarts by itself: the user types
// --resume. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"

namespace anamnesis::gang {

enum class RestartChoice {
  kGiveUp,            // the same input would fail again
  kTellUserToResume,  // the cause may be gone next time
};

struct RestartAdvice {
  RestartChoice choice = RestartChoice::kGiveUp;
  std::string reason;
};

// `outcome` is not OK. `checkpoint_step` is the newest complete checkpoint, 0 when there is none.
RestartAdvice AdviseRestart(const Status& outcome, int64_t checkpoint_step);

}  // namespace anamnesis::gang
