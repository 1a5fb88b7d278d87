// SPDX-License-Identifier: Apache-2.0
// What a configuration needs beyond the right type of each key: keys that the task needs or does
// not have, keys that contradict each other, values that are not built yet. Thread-compatible.
#pragma once

#include <string>
#include <vector>

#include "common/config/entries.h"

namespace anamnesis::config {

// Adds to entries.problems: missing required keys (at their section), keys of other tasks,
// contradictions.
void CheckEntries(Task task, const std::string& path, Entries& entries);

// The task and every value that is not built yet; each text says "not built yet".
std::vector<Problem> FindNotBuilt(Task task, const std::string& path, const Entries& entries);

}  // namespace anamnesis::config
