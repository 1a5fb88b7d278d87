// SPDX-License-Identifier: Apache-2.0
// A trained classifier from its files, to score with.
#pragma once

#include <memory>

#include "workers/contract/predict_plan.h"
#include "workers/train/learner.h"

namespace anamnesis::train {

struct OpenedClassifier {
  std::unique_ptr<Learner> learner;
  std::vector<std::string> class_names;  // [C]: the plan's, else those of config.json
};

// Ours, or one that transformers or PEFT wrote. kInvalidArgument: the folder holds no trained
// classifier, or one of another number of classes than the plan names.
StatusOr<OpenedClassifier> OpenClassifier(const contract::PredictPlan& plan);

}  // namespace anamnesis::train
