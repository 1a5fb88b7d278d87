// SPDX-License-Identifier: Apache-2.0
#include "common/base/evaluation_text.h"

#include <gtest/gtest.h>

namespace anamnesis {
namespace {

TEST(EvaluationText, HasTheBaselineBesideTheModel) {
  const std::map<std::string, double> figures = {{"held_out_auroc", 0.81234},
                                                 {"held_out_auroc_low", 0.75},
                                                 {"held_out_auroc_high", 0.875},
                                                 {"held_out_accuracy", 0.8},
                                                 {"tuning_auroc", 0.7},
                                                 {"baseline_held_out_auroc", 0.78},
                                                 {"baseline_held_out_auroc_low", 0.71},
                                                 {"baseline_held_out_auroc_high", 0.84}};
  EXPECT_EQ(EvaluationText(figures, "held_out"),
            "auroc 0.8123 (0.7500 to 0.8750), bag of codes 0.7800 (0.7100 to 0.8400); "
            "accuracy 0.8000");
  EXPECT_EQ(EvaluationText(figures, "tuning"), "auroc 0.7000");
  EXPECT_EQ(EvaluationText({}, "held_out"), "");
}

}  // namespace
}  // namespace anamnesis
