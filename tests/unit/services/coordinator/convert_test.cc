// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/convert.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <cctype>
#include <set>

#include "tests/unit/services/store/store_support.h"

namespace anamnesis::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

std::string Upper(const std::string& prefix, std::string name) {
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return prefix + name;
}

TEST(Convert, EveryStateOfAJobHasItsNameOutsideAndComesBack) {
  for (int i = 0; i + 1 < v1::JobState_ARRAYSIZE; ++i) {
    const auto state = static_cast<core::JobState>(i);
    EXPECT_EQ(v1::JobState_Name(ToProto(state)), Upper("JOB_STATE_", core::NameOf(state)));
    EXPECT_EQ(*FromProto(ToProto(state)), state);
  }
  EXPECT_EQ(FromProto(v1::JOB_STATE_UNSPECIFIED).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FromProto(static_cast<v1::JobState>(99)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Convert, EveryStateOfAnAttemptHasItsNameOutside) {
  for (int i = 0; i + 1 < v1::AttemptState_ARRAYSIZE; ++i) {
    const auto state = static_cast<core::AttemptState>(i);
    EXPECT_EQ(v1::AttemptState_Name(ToProto(state)), Upper("ATTEMPT_STATE_", core::NameOf(state)));
  }
}

TEST(Convert, EveryReasonHasItsNameOutsideAndComesBack) {
  for (int i = 0; i + 1 < v1::Reason_ARRAYSIZE; ++i) {
    const auto reason = static_cast<core::Reason>(i);
    EXPECT_EQ(v1::Reason_Name(ToProto(reason)), Upper("REASON_", core::NameOf(reason)));
    EXPECT_EQ(FromProto(ToProto(reason)), reason);
  }
  EXPECT_EQ(FromProto(v1::REASON_UNSPECIFIED), core::Reason::kInternal);
  EXPECT_EQ(FromProto(static_cast<v1::Reason>(99)), core::Reason::kInternal);
}

TEST(Convert, AJobIsNamedByItsNumberWithOrWithoutItsCollection) {
  EXPECT_EQ(*JobIdFromName("jobs/17"), core::JobId{17});
  EXPECT_EQ(*JobIdFromName("17"), core::JobId{17});
  for (const char* bad : {"", "jobs/", "jobs/x", "jobs/0", "-1", "1 ", "jobs/jobs/1", "0x1",
                          "99999999999999999999", "job/1"}) {
    EXPECT_EQ(JobIdFromName(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

v1::Report MadeReport(const std::function<void(v1::Report*)>& fill) {
  v1::Report report;
  report.set_sequence(4);
  report.set_epoch(2);
  *report.mutable_time() = google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(1'234'567);
  fill(&report);
  return report;
}

template <typename What>
What Taken(const std::function<void(v1::Report*)>& fill) {
  const StatusOr<core::Reported> report = FromProto(core::JobId{9}, MadeReport(fill));
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report->job, core::JobId{9});
  EXPECT_EQ(report->epoch, 2);
  EXPECT_EQ(report->sequence, 4);
  EXPECT_EQ(report->time, absl::FromUnixMicros(1'234'567));
  return std::get<What>(report->what);
}

TEST(Convert, APhaseIsTaken) {
  const auto phase = Taken<core::PhaseReported>([](v1::Report* report) {
    report->mutable_phase()->set_state(v1::ATTEMPT_STATE_RENDEZVOUS);
    report->mutable_phase()->set_phase("loading");
    report->mutable_phase()->set_done(3);
    report->mutable_phase()->set_total(8);
    report->mutable_phase()->set_eta_seconds(2.5);
  });
  EXPECT_EQ(phase.state, core::AttemptState::kRendezvous);
  EXPECT_EQ(phase.phase, "loading");
  EXPECT_EQ(phase.done, 3);
  EXPECT_EQ(phase.total, 8);
  EXPECT_EQ(phase.eta_seconds, 2.5);
}

TEST(Convert, AStartIsTakenWithItsReasonForOtherBitsAsANote) {
  const auto started = Taken<core::StartedReported>([](v1::Report* report) {
    v1::StartedReport& message = *report->mutable_started();
    message.set_total_steps(80);
    message.set_resumed_step(20);
    message.set_steps_executed_before(25);
    message.add_kept_ranks(1);
    message.add_notes("n");
    message.set_bits_not_guaranteed("world size");
    message.mutable_data()->set_lab_coverage(0.5);
    message.mutable_data()->set_train_documents(9);
    message.mutable_data()->add_class_shares(1);
  });
  EXPECT_EQ(started.total_steps, 80);
  EXPECT_EQ(started.resumed_step, 20);
  EXPECT_EQ(started.steps_executed_before, 25);
  EXPECT_THAT(started.kept_ranks, ElementsAre(1));
  EXPECT_THAT(started.notes, ElementsAre("n", "bits_not_guaranteed: world size"));
  EXPECT_FALSE(started.data.medical_coverage.has_value());
  EXPECT_EQ(started.data.lab_coverage, 0.5);
  EXPECT_EQ(started.data.train_documents, 9);
  EXPECT_THAT(started.data.class_shares, ElementsAre(1));
}

TEST(Convert, AStepIsTakenAndBecomesAPoint) {
  const auto fill = [](v1::Report* report) {
    v1::StepReport& message = *report->mutable_step();
    message.set_step(7);
    message.set_epoch(0.5);
    message.set_loss(2.5);
    message.set_grad_norm(1.5);
    message.set_learning_rate(0.25);
    message.set_tokens(640);
    message.set_seconds(0.125);
  };
  const auto step = Taken<core::StepReported>(fill);
  EXPECT_EQ(step.step, 7);
  const auto point = PointOf(*FromProto(core::JobId{9}, MadeReport(fill)));
  ASSERT_TRUE(point);
  EXPECT_EQ(point->step, 7);
  EXPECT_EQ(point->epoch, 2);
  EXPECT_THAT(point->values, UnorderedElementsAre(Pair("loss", 2.5), Pair("grad_norm", 1.5),
                                                  Pair("learning_rate", 0.25), Pair("tokens", 640),
                                                  Pair("seconds", 0.125), Pair("epoch", 0.5),
                                                  Pair("tokens_per_second", 5120)));
  const v1::MetricPoint out = ToProto(*point);
  EXPECT_EQ(out.values().at("loss"), 2.5);
  EXPECT_EQ(google::protobuf::util::TimeUtil::TimestampToMicroseconds(out.time()), 1'234'567);
}

TEST(Convert, AnEvaluationIsTakenAndBecomesAPoint) {
  const auto fill = [](v1::Report* report) {
    report->mutable_eval()->set_step(8);
    report->mutable_eval()->set_loss(1.25);
    (*report->mutable_eval()->mutable_metrics())["auroc"] = 0.75;
  };
  EXPECT_EQ(Taken<core::EvalReported>(fill).loss, 1.25);
  const auto point = PointOf(*FromProto(core::JobId{9}, MadeReport(fill)));
  ASSERT_TRUE(point);
  EXPECT_THAT(point->values,
              UnorderedElementsAre(Pair("tuning_loss", 1.25), Pair("tuning_auroc", 0.75)));
}

TEST(Convert, TheEndsAndSavesAreTakenAndBecomeNoPoint) {
  const auto saved = Taken<core::SavedReported>([](v1::Report* report) {
    report->mutable_saved()->set_step(5);
    report->mutable_saved()->set_path("/out/checkpoint-5");
    report->mutable_saved()->set_seconds(0.5);
  });
  EXPECT_EQ(saved.path, "/out/checkpoint-5");
  EXPECT_EQ(saved.seconds, 0.5);
  const auto failed = Taken<core::FailedReported>([](v1::Report* report) {
    report->mutable_failed()->set_reason(v1::REASON_OUT_OF_MEMORY);
    report->mutable_failed()->set_message("m");
    report->mutable_failed()->set_last_step(6);
  });
  EXPECT_EQ(failed.reason, core::Reason::kOutOfMemory);
  EXPECT_EQ(failed.last_step, 6);
  const auto stopped = Taken<core::StoppedReported>([](v1::Report* report) {
    report->mutable_stopped()->set_last_step(6);
    report->mutable_stopped()->set_saved(true);
  });
  EXPECT_TRUE(stopped.saved);
  const auto fill_done = [](v1::Report* report) {
    report->mutable_done()->set_step(10);
    report->mutable_done()->set_final_sha256("f");
    report->mutable_done()->set_path("/out/final_model");
    report->mutable_done()->set_wandb_folder("/out/wandb/run");
    (*report->mutable_done()->mutable_evaluation())["held_out_auroc"] = 0.75;
  };
  const auto done = Taken<core::DoneReported>(fill_done);
  EXPECT_EQ(done.final_sha256, "f");
  EXPECT_EQ(done.wandb_folder, "/out/wandb/run");
  EXPECT_THAT(done.evaluation, ElementsAre(Pair("held_out_auroc", 0.75)));
  EXPECT_FALSE(PointOf(*FromProto(core::JobId{9}, MadeReport(fill_done))));
}

TEST(Convert, EveryKindOfReportIsKnown) {
  const google::protobuf::OneofDescriptor* what = v1::Report::descriptor()->FindOneofByName("what");
  std::set<size_t> kinds;
  for (int i = 0; i < what->field_count(); ++i) {
    v1::Report report;
    report.GetReflection()->MutableMessage(&report, what->field(i));
    const StatusOr<core::Reported> taken = FromProto(core::JobId{1}, report);
    ASSERT_TRUE(taken.ok()) << what->field(i)->name();
    kinds.insert(taken->what.index());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<decltype(core::Reported::what)>);
  EXPECT_EQ(FromProto(core::JobId{1}, v1::Report()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Convert, ATimeBeyondTheCalendarIsItsEdge) {
  core::Checkpoint checkpoint;
  checkpoint.commit_time = absl::InfiniteFuture();
  EXPECT_EQ(ToProto(core::JobId{1}, checkpoint).commit_time().seconds(), 253'402'300'799);
  checkpoint.commit_time = absl::InfinitePast();
  EXPECT_EQ(ToProto(core::JobId{1}, checkpoint).commit_time().seconds(), -62'135'596'800);
  v1::Report report;
  report.mutable_phase();
  report.mutable_time()->set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(FromProto(core::JobId{1}, report)->time,
            absl::FromUnixSeconds(std::numeric_limits<int64_t>::max()));
}

TEST(Convert, AJobShowsAllOfItself) {
  const core::Job job = store::FullJob();
  const v1::Job out = ToProto(job);
  EXPECT_EQ(out.name(), "jobs/17");
  EXPECT_EQ(out.spec().project(), "p");
  EXPECT_EQ(out.state(), v1::JOB_STATE_RECOVERING);
  ASSERT_EQ(out.attempts_size(), 2);
  EXPECT_EQ(out.attempts(1).epoch(), 2);
  EXPECT_EQ(out.attempts(0).reason(), v1::REASON_LEASE_EXPIRED);
  EXPECT_THAT(out.attempts(0).slots(), ElementsAre(0, 3));
  EXPECT_EQ(out.latest_checkpoint().step(), 4);
  EXPECT_EQ(out.output_dir(), "/out");
  EXPECT_EQ(out.ranks(), 2);
  EXPECT_THAT(out.notes(), ElementsAre("n"));
  EXPECT_EQ(out.transitions_size(), 0);
  EXPECT_EQ(out.metrics().count("loss"), 1u);
  EXPECT_EQ(out.DebugString().find("secret"), std::string::npos);  // the worker's token
}

TEST(Convert, TheTimeLeftIsZeroForWhatHasEndedAndUnsetWhileUnknown) {
  core::Job job = store::FullJob();
  job.state = core::JobState::kSucceeded;
  EXPECT_TRUE(ToProto(job).progress().has_eta_seconds());
  EXPECT_EQ(ToProto(job).progress().eta_seconds(), 0);
  job.state = core::JobState::kRunning;
  EXPECT_EQ(ToProto(job).progress().eta_seconds(), 1.5);  // of its phase
  EXPECT_EQ(ToProto(job).progress().phase_done(), 1);
  EXPECT_EQ(ToProto(job).progress().phase_total(), 2);
  job.progress.eta_seconds.reset();
  job.progress.step_seconds = 2;
  EXPECT_EQ(ToProto(job).progress().eta_seconds(), 2);
  job.progress.step_seconds = 0;
  EXPECT_FALSE(ToProto(job).progress().has_eta_seconds());
}

}  // namespace
}  // namespace anamnesis::coordinator
