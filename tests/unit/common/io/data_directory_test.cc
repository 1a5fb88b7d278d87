// SPDX-License-Identifier: Apache-2.0
#include "common/io/data_directory.h"

#include <gtest/gtest.h>
#include <stdlib.h>

namespace anamnesis {
namespace {

TEST(DefaultDataDirectory, FollowsTheEnvironment) {
  ::setenv("ANAMNESIS_DATA_DIR", "/a", 1);
  EXPECT_EQ(*DefaultDataDirectory(), "/a");
  ::unsetenv("ANAMNESIS_DATA_DIR");
  ::setenv("XDG_STATE_HOME", "/x", 1);
  EXPECT_EQ(*DefaultDataDirectory(), "/x/anamnesis");
  ::unsetenv("XDG_STATE_HOME");
}

}  // namespace
}  // namespace anamnesis
