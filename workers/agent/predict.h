// SPDX-License-Identifier: Apache-2.0
// The verb `predict`: a trained classifier's probabilities for every subject of a split, as a file
// (docs/prediction.md).
#pragma once

namespace anamnesis::agent {

int PredictCommand(int argc, char** argv);

}  // namespace anamnesis::agent
