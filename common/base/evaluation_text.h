// SPDX-License-Identifier: Apache-2.0
// The figures of a classifier's end in a line, for the summary of a run and for `describe`. Pure.
#pragma once

#include <map>
#include <string>

namespace anamnesis {

// Of figures such as "held_out_auroc", "held_out_auroc_low" and "baseline_held_out_auroc":
// "auroc 0.8123 (0.7512 to 0.8671), bag of codes 0.7801 (0.7100 to 0.8402); accuracy 0.8000, bag of
// codes 0.7500". "" where the split has none.
std::string EvaluationText(const std::map<std::string, double>& figures, const std::string& split);

}  // namespace anamnesis
