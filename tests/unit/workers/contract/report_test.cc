// SPDX-License-Identifier: Apache-2.0
#include "workers/contract/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace anamnesis::contract {
namespace {

TEST(StepReport, ComesBackEqual) {
  const StepReport report{.step = 7,
                          .epoch = 0.5,
                          .loss = 2.25,
                          .grad_norm = 1,
                          .learning_rate = 2e-4,
                          .tokens = 10,
                          .global_tokens = 20,
                          .labels = 18,
                          .seconds = 0.1,
                          .cpu_seconds = 0.2};
  const StatusOr<StepReport> back = StepReportFromJson(ToJson(report));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), ToJson(report));
}

TEST(StepReport, CarriesALossThatIsNoNumber) {
  for (const double loss : {std::nan(""), std::numeric_limits<double>::infinity(),
                            -std::numeric_limits<double>::infinity()}) {
    StepReport report;
    report.loss = loss;
    const StatusOr<Json> sent = ParseJson(ToJson(report).dump(), "r");
    ASSERT_TRUE(sent.ok());
    const StatusOr<StepReport> back = StepReportFromJson(*sent);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(std::isnan(back->loss), std::isnan(loss));
    if (!std::isnan(loss)) {
      EXPECT_EQ(back->loss, loss);
    }
  }
}

TEST(EvalReport, ComesBackEqual) {
  const EvalReport report{.step = 3, .epoch = 1, .loss = 2, .labels = 9, .seconds = 1};
  const StatusOr<EvalReport> back = EvalReportFromJson(ToJson(report));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(ToJson(*back), ToJson(report));
}

TEST(DoneReport, ComesBackEqual) {
  const DoneReport report{.step = 3,
                          .steps_executed = 3,
                          .tokens_trained = 99,
                          .train_loss = 1.5,
                          .cpu_seconds = 2,
                          .rank_tokens = 40,
                          .final_sha256 = "ab"};
  const StatusOr<DoneReport> back = DoneReportFromJson(ToJson(report));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(ToJson(*back), ToJson(report));
}

TEST(Report, RefusesAnotherKindAnUnknownKeyAndAMissingOne) {
  Json json = ToJson(EvalReport{});
  EXPECT_FALSE(StepReportFromJson(json).ok());
  json["text"] = "x";
  EXPECT_EQ(MessageOf(EvalReportFromJson(json).status()), "report 'eval': unknown key 'text'");
  json.erase("text");
  json.erase("labels");
  EXPECT_EQ(MessageOf(EvalReportFromJson(json).status()), "report 'eval': key 'labels' is missing");
  EXPECT_FALSE(DoneReportFromJson(Json::array()).ok());
}

TEST(ErrorMessage, KeepsCodeAndText) {
  for (const Status& status :
       {DataLoss("shard 3"), ResourceExhausted("oom"), Unavailable("peer"), Internal("bug")}) {
    EXPECT_EQ(StatusFromErrorMessage(ErrorMessage(status)), status);
  }
}

TEST(ErrorMessage, RefusesAnUnknownCode) {
  const Status status =
      StatusFromErrorMessage({{"kind", "error"}, {"code", "NOPE"}, {"message", "m"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace anamnesis::contract
