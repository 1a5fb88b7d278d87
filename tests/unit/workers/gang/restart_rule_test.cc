// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/restart_rule.h"

#include <gtest/gtest.h>

namespace anamnesis::gang {
namespace {

TEST(RestartRule, TellsToResumeWhereTheCauseMayBeGone) {
  for (const Status& status :
       {Unavailable("x"), DeadlineExceeded("x"), Aborted("x"), ResourceExhausted("x")}) {
    EXPECT_EQ(AdviseRestart(status, 5).choice, RestartChoice::kTellUserToResume) << status;
  }
}

TEST(RestartRule, GivesUpWhereTheSameWouldHappenAgain) {
  for (const Status& status :
       {InvalidArgument("x"), Unimplemented("x"), DataLoss("x"), Internal("x")}) {
    EXPECT_EQ(AdviseRestart(status, 5).choice, RestartChoice::kGiveUp) << status;
  }
}

TEST(RestartRule, SaysWhereAResumeWouldStart) {
  EXPECT_NE(AdviseRestart(Unavailable("x"), 40).reason.find("continues after step 40"),
            std::string::npos);
  EXPECT_NE(AdviseRestart(Unavailable("x"), 0).reason.find("starts at step 0"), std::string::npos);
}

}  // namespace
}  // namespace anamnesis::gang
