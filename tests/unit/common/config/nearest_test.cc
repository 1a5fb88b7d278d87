// SPDX-License-Identifier: Apache-2.0
#include "common/config/nearest.h"

#include <gtest/gtest.h>

namespace anamnesis::config {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsSubstitutionsAndSwaps) {
  EXPECT_EQ(EditDistance("epochs", "epochs"), 0);
  EXPECT_EQ(EditDistance("epoch", "epochs"), 1);
  EXPECT_EQ(EditDistance("epcohs", "epochs"), 1);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("", "abc"), 3);
}

TEST(Nearest, IsSilentWhenNothingIsNear) {
  EXPECT_EQ(Nearest("rum", {"run", "render"}), "run");
  EXPECT_EQ(Nearest("xyzzy", {"run", "render"}), "");
}

TEST(NearestKey, PrefersTheSameNameThenASibling) {
  EXPECT_EQ(NearestKey("training.epoch"), "training.epochs");
  EXPECT_EQ(NearestKey("data.max_length"), "model.max_length");
  EXPECT_EQ(NearestKey("epochs"), "training.epochs");
  EXPECT_EQ(NearestKey("trainig"), "training");
  EXPECT_EQ(NearestKey("lora.alpha"), "lora.lora_alpha");
  EXPECT_EQ(NearestKey("training.something_else_entirely"), "");
}

}  // namespace
}  // namespace anamnesis::config
