// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/submission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/config/field_violations.h"
#include "tests/unit/common/config/config_text.h"

namespace anamnesis::coordinator {
namespace {

using ::testing::HasSubstr;

v1::CreateJobRequest Request() {
  v1::CreateJobRequest request;
  request.set_request_id("r");
  request.mutable_spec()->set_task("pretrain_llm");
  request.mutable_spec()->set_config_yaml(config::kSmall);
  request.mutable_spec()->set_working_directory("/work");
  request.mutable_spec()->set_config_name("job.yaml");
  return request;
}

StatusOr<core::Submit> Submit(const v1::CreateJobRequest& request, SubmissionRules rules = {}) {
  return MakeSubmission(request, "user:me", rules);
}

TEST(Submission, ResolvesWhatWasAskedFor) {
  v1::CreateJobRequest request = Request();
  request.mutable_spec()->set_priority(3);
  request.mutable_spec()->add_overrides("training.epochs=2");
  const StatusOr<core::Submit> submit = Submit(request);
  ASSERT_TRUE(submit.ok()) << submit.status();
  EXPECT_EQ(submit->request_id, "r");
  EXPECT_EQ(submit->actor, "user:me");
  EXPECT_EQ(submit->spec.config_yaml.str(), config::kSmall);
  EXPECT_EQ(submit->spec.project, "default");
  EXPECT_EQ(submit->spec.priority, 3);
  EXPECT_EQ(submit->resolved.output_dir, "/d/out");
  EXPECT_EQ(submit->resolved.ranks, 1);
  EXPECT_THAT(submit->resolved.spec_json.str(), HasSubstr("\"epochs\":2"));
}

TEST(Submission, NamesTheJobThatItFollows) {
  v1::CreateJobRequest request = Request();
  EXPECT_FALSE(Submit(request)->spec.after.has_value());
  for (const char* name : {"jobs/17", "17"}) {
    request.mutable_spec()->set_after(name);
    EXPECT_EQ(Submit(request)->spec.after, core::JobId{17});
  }
}

TEST(Submission, AdviceStandsAmongTheNotes) {
  v1::CreateJobRequest request = Request();
  request.mutable_spec()->add_overrides("training.learning_rate=0.1");
  EXPECT_THAT(Submit(request)->resolved.notes,
              ::testing::Contains(::testing::StartsWith("tip: training.learning_rate: 0.1 ")));
}

TEST(Submission, ABadFieldIsNamed) {
  struct Case {
    const char* field;
    std::function<void(v1::JobSpec*)> spoil;
  };
  const Case cases[] = {
      {"spec.config_yaml",
       [](v1::JobSpec* s) { s->set_config_yaml(std::string((1 << 20) + 1, ' ')); }},
      {"spec.working_directory", [](v1::JobSpec* s) { s->set_working_directory("relative"); }},
      {"spec.ranks", [](v1::JobSpec* s) { s->set_ranks(0); }},
      {"spec.display_name", [](v1::JobSpec* s) { s->set_display_name("a\x1b[2Jb"); }},
      {"spec.project", [](v1::JobSpec* s) { s->set_project(std::string(201, 'p')); }},
      {"spec.after", [](v1::JobSpec* s) { s->set_after("the other one"); }},
      {"fly", [](v1::JobSpec* s) { s->set_task("fly"); }},
  };
  for (const Case& spoiled : cases) {
    v1::CreateJobRequest request = Request();
    spoiled.spoil(request.mutable_spec());
    const Status status = Submit(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << spoiled.field;
    EXPECT_THAT(MessageOf(status), HasSubstr(spoiled.field));
  }
  v1::CreateJobRequest request = Request();
  request.set_request_id("a\nb");
  EXPECT_THAT(MessageOf(Submit(request).status()), HasSubstr("request_id"));
}

TEST(Submission, EveryBadKeyIsAViolationOfItsOwn) {
  v1::CreateJobRequest request = Request();
  request.mutable_spec()->set_config_yaml(
      config::Replaced(config::kSmall, "output_dir:", "epoch: 1\n  output_dir:"));
  request.mutable_spec()->add_overrides("lora.r=none");
  const Status status = Submit(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  std::vector<std::string> fields;
  for (const auto& violation : config::FieldViolationsOf(status)) {
    fields.push_back(violation.field);
  }
  EXPECT_THAT(fields, ::testing::UnorderedElementsAre("training.epoch", "lora.r"));
}

TEST(Submission, MoreRanksThanSlotsAreRefusedWhereverTheyAreAskedFor) {
  v1::CreateJobRequest request = Request();
  request.mutable_spec()->set_ranks(3);
  EXPECT_EQ(Submit(request, {.num_slots = 2}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Submit(request, {.num_slots = 3})->resolved.ranks, 3);
  request.mutable_spec()->clear_ranks();
  request.mutable_spec()->add_overrides("resources.ranks=4");
  EXPECT_EQ(Submit(request, {.num_slots = 3}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

class Roots : public ::testing::Test {
 protected:
  Roots() {
    std::filesystem::create_directories(folder_.File("allowed"));
    std::filesystem::create_directories(folder_.File("allowed-too"));
    std::filesystem::create_directories(folder_.File("secret"));
  }

  // A job whose paths all lie in `allowed`, but for what `overrides` say.
  absl::StatusCode CodeOf(const std::vector<std::string>& overrides) const {
    const Status status = StatusOf(overrides);
    EXPECT_NE(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return status.code();
  }
  Status StatusOf(const std::vector<std::string>& overrides,
                  const std::string& task = "pretrain_llm") const {
    v1::CreateJobRequest request = Request();
    request.mutable_spec()->set_task(task);
    for (const char* path :
         {"training.output_dir", "data.data_dir", "data.vocab_filepath", "data.labels_filepath"}) {
      request.mutable_spec()->add_overrides(Cat(path, "=", folder_.File("allowed/"), path));
    }
    request.mutable_spec()->add_overrides("model.model_name=of/the-hub");
    request.mutable_spec()->set_working_directory(folder_.path());
    for (const std::string& text : overrides) request.mutable_spec()->add_overrides(text);
    return Submit(request, {.roots = {folder_.File("allowed")}}).status();
  }

  TemporaryFolder folder_;
};

TEST_F(Roots, PathsBeneathARootAreTaken) {
  EXPECT_EQ(CodeOf({}), absl::StatusCode::kOk);
  EXPECT_EQ(CodeOf({"data.vocab_filepath=" + folder_.File("allowed")}), absl::StatusCode::kOk);
  EXPECT_EQ(CodeOf({"training.output_dir=allowed/not/there/yet"}), absl::StatusCode::kOk);
}

TEST_F(Roots, PathsOutsideAreRefusedHoweverTheyAreWritten) {
  std::filesystem::create_directory_symlink(folder_.File("secret"), folder_.File("allowed/link"));
  for (const char* path :
       {"secret", "allowed/../secret", "allowed/link", "allowed/link/new", "allowed-too", "/etc"}) {
    EXPECT_EQ(CodeOf({Cat("training.output_dir=", path)}), absl::StatusCode::kPermissionDenied)
        << path;
    EXPECT_EQ(CodeOf({Cat("data.data_dir=", path)}), absl::StatusCode::kPermissionDenied) << path;
  }
}

TEST_F(Roots, AModelThatIsAFolderLiesBeneathThemToo) {
  EXPECT_EQ(CodeOf({"model.model_name=" + folder_.File("secret")}),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeOf({"model.model_name=secret"}), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeOf({"model.model_name=allowed"}), absl::StatusCode::kOk);
  EXPECT_EQ(CodeOf({"model.model_name=Qwen/Qwen3-0.6B"}), absl::StatusCode::kOk);
}

TEST_F(Roots, AModelThatAnEarlierJobIsToWriteLiesBeneathThemToo) {
  EXPECT_EQ(CodeOf({"model.model_name=" + folder_.File("allowed/first/final_model")}),
            absl::StatusCode::kOk);
  EXPECT_EQ(CodeOf({"model.model_name=allowed/first/final_model"}), absl::StatusCode::kOk);
  for (const char* path :
       {"/not/there", "secret/first/final_model", "../first", "./secret/first"}) {
    EXPECT_EQ(CodeOf({Cat("model.model_name=", path)}), absl::StatusCode::kPermissionDenied)
        << path;
  }
}

TEST_F(Roots, ACheckpointToStartFromLiesBeneathThemToo) {
  const auto status_of = [this](const std::string& path) {
    return StatusOf({Cat("model.pretrained_checkpoint=", path)}, "finetune_llm");
  };
  EXPECT_TRUE(status_of("allowed/first/final_model").ok());
  EXPECT_TRUE(absl::IsPermissionDenied(status_of("secret/first/final_model")));
}

}  // namespace
}  // namespace anamnesis::coordinator
