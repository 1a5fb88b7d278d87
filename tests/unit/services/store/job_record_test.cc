// SPDX-License-Identifier: Apache-2.0
#include "services/store/job_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/io/json.h"
#include "tests/unit/services/store/store_support.h"

namespace anamnesis::store {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Json BodyJson() { return *ParseJson(BodyOf(FullJob()), "body"); }

std::string KeysOf(const Json& object) {
  std::string keys;
  for (const auto& [key, value] : object.items()) keys += (keys.empty() ? "" : " ") + key;
  return keys;
}

TEST(JobRecord, FullJobOfTheTestsHasNoDefaultAnywhere) {
  const core::Job job = FullJob();
  EXPECT_FALSE(SameMembers(job, core::Job{}, true));
  EXPECT_FALSE(SameMembers(job.spec, core::JobSpec{}, true));
  EXPECT_FALSE(SameMembers(job.resolved, core::Resolved{}, true));
  EXPECT_FALSE(SameMembers(job.attempts[0], core::Attempt{}, true));
  EXPECT_FALSE(SameMembers(job.attempts[0].worker, core::WorkerProcess{}, true));
  EXPECT_FALSE(SameMembers(*job.latest_checkpoint, core::Checkpoint{}, true));
  EXPECT_FALSE(SameMembers(job.progress, core::Progress{}, true));
  EXPECT_FALSE(SameMembers(job.failures[0], core::Failure{}, true));
  EXPECT_FALSE(SameMembers(job.data, core::DataFacts{}, true));
}

// A new key is a new version of the format: docs/formats/store.md.
TEST(JobRecord, BodyHasTheKeysOfVersion4) {
  const Json body = BodyJson();
  EXPECT_EQ(KeysOf(body),
            "acknowledged_sequence after attempts create_time_us data display_name end_time_us "
            "evaluation failures "
            "final_path final_sha256 id latest_checkpoint message notes output_dir priority "
            "progress project ranks reason request_id retry_time_us start_time_us state "
            "steps_executed stop_deadline_us stop_grace_us update_time_us wandb_folder");
  EXPECT_EQ(KeysOf(body["data"]),
            "class_shares lab_coverage medical_coverage train_documents truncated_token_share");
  EXPECT_EQ(KeysOf(body["attempts"][0]),
            "end_time_us epoch first_step holds_slots kept_ranks last_step message nodes reason "
            "reattached resumed_step slots start_time_us state token worker");
  EXPECT_EQ(KeysOf(body["attempts"][0]["worker"]), "boot_id handle host pid start_ticks");
  EXPECT_EQ(KeysOf(body["latest_checkpoint"]), "commit_time_us epoch path sha256 step");
  EXPECT_EQ(KeysOf(body["progress"]),
            "done epoch eta_seconds evaluation_seconds grad_norm learning_rate loss phase step "
            "step_seconds tokens "
            "tokens_per_second total total_steps train_seconds tuning_loss");
  EXPECT_EQ(KeysOf(body["failures"][0]), "last_step message reason");
}

TEST(JobRecord, ReadsWhatItWrote) {
  core::Job expected = FullJob();
  core::Job read;
  ASSERT_TRUE(ReadBody(BodyOf(expected), "jobs/17", &read).ok());
  core::JobSpec in_body;
  in_body.display_name = expected.spec.display_name;
  in_body.project = expected.spec.project;
  in_body.priority = expected.spec.priority;
  in_body.after = expected.spec.after;
  expected.spec = in_body;
  expected.resolved.spec_json = {};
  EXPECT_TRUE(Same(read, expected)) << BodyOf(read);
}

TEST(JobRecord, ReadsAJobWithNothingSet) {
  core::Job read = FullJob();
  read.spec = {};
  read.resolved = {};
  ASSERT_TRUE(ReadBody(BodyOf(core::Job{}), "jobs/0", &read).ok());
  EXPECT_TRUE(Same(read, core::Job{}));
}

TEST(JobRecord, RefusesADamagedBodyAndNamesTheKey) {
  struct Case {
    const char* pointer;
    Json value;
    const char* expected;
  };
  for (const auto& [pointer, value, expected] :
       {Case{"/state", "asleep", "key 'state' has an unknown name"},
        Case{"/state", 3, "key 'state' has an unknown name"},
        Case{"/attempts/1/reason", "whim", "key 'attempts[1].reason' has an unknown name"},
        Case{"/attempts/0/slots/0", 1.5, "key 'attempts[0].slots[0]' is not an integer"},
        Case{"/attempts", 1, "key 'attempts' is not a list"},
        Case{"/attempts/0/holds_slots", 1, "key 'attempts[0].holds_slots' is not true or false"},
        Case{"/attempts/0/worker", "x", "key 'attempts[0].worker' is not an object"},
        Case{"/progress/loss", "much", "key 'progress.loss' is not a number"},
        Case{"/create_time_us", UINT64_MAX, "key 'create_time_us' is not an integer"},
        Case{"/evaluation/held_out_auroc", "much",
             "key 'evaluation.held_out_auroc' is not a number"},
        Case{"/message", nullptr, "key 'message' is not a text"},
        Case{"/progress/colour", "SECRET", "key 'progress.colour' is unknown"}}) {
    Json body = BodyJson();
    body[Json::json_pointer(pointer)] = value;
    core::Job job;
    const Status status = ReadBody(body.dump(), "jobs/17", &job);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(MessageOf(status), HasSubstr("jobs/17: " + std::string(expected)));
    EXPECT_THAT(MessageOf(status), Not(HasSubstr("SECRET")));
  }
}

TEST(JobRecord, RefusesABodyWithoutOneOfItsKeys) {
  const Json whole = BodyJson();
  for (const auto& [key, unused] : whole.items()) {
    Json body = whole;
    body.erase(key);
    core::Job job;
    EXPECT_THAT(MessageOf(ReadBody(body.dump(), "jobs/17", &job)),
                HasSubstr("jobs/17: key '" + key + "' is missing"));
  }
  core::Job job;
  EXPECT_EQ(ReadBody("{\"id\":", "jobs/17", &job).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReadBody("[]", "jobs/17", &job).code(), absl::StatusCode::kDataLoss);
}

TEST(JobRecord, AMessageThatIsNoUtf8IsStoredWithReplacements) {
  core::Job job = FullJob();
  job.message = "cut \xC3";
  core::Job read;
  ASSERT_TRUE(ReadBody(BodyOf(job), "jobs/17", &read).ok());
  EXPECT_EQ(read.message, "cut \xEF\xBF\xBD");
}

TEST(JobRecord, MetricsKeepEveryDouble) {
  const std::map<std::string, double> values = {
      {"loss", std::nan("")}, {"a", -INFINITY}, {"b", 0.1}, {"c", -0.0}, {"d", 1e-310}};
  const auto read = MetricsFromJson(MetricsToJson(values), "point");
  ASSERT_TRUE(read.ok());
  ASSERT_EQ(read->size(), values.size());
  for (const auto& [name, value] : values) EXPECT_TRUE(Same(read->at(name), value)) << name;
  EXPECT_EQ(MetricsFromJson("{\"a\":\"b\"}", "p").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace anamnesis::store
