// SPDX-License-Identifier: Apache-2.0
// Where Anamnesis keeps its state and its cache of shards unless told otherwise.
#pragma once

#include <string>

#include "common/base/status.h"

namespace anamnesis {

// $ANAMNESIS_DATA_DIR, else $XDG_STATE_HOME/anamnesis, else ~/.local/state/anamnesis.
// kInvalidArgument where none of them is set.
StatusOr<std::string> DefaultDataDirectory();

}  // namespace anamnesis
