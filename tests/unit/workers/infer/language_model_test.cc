// SPDX-License-Identifier: Apache-2.0
// What is no model to write text with. Folders that are: tests/integration/generate_test.py.
#include "workers/infer/language_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_folder.h"
#include "workers/adapter/peft_files.h"

namespace anamnesis::infer {
namespace {

using testing::HasSubstr;

class Folder : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.File(name)) << text;
  }
  void WriteAdapter(adapter::AdapterTask task, const std::string& base) {
    contract::LoraPlan lora;
    lora.target_modules = {"q_proj"};
    Write("adapter_config.json",
          adapter::AdapterConfigText(adapter::AdapterConfigJson(lora, base, task)));
  }
  std::string Refusal(absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
    const Status status = LanguageModel::Open(folder_.path()).status();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(status.message());
  }

  TemporaryFolder folder_;
};

TEST_F(Folder, OfNothingSaysWhatIsExpected) {
  EXPECT_THAT(Refusal(), HasSubstr("holds neither adapter_config.json"));
  EXPECT_THAT(std::string(LanguageModel::Open("/nowhere/at all").status().message()),
              HasSubstr("MODEL_DIR: /nowhere/at all is no directory"));
}

TEST_F(Folder, OfAClassifiersAdapterIsRefused) {
  WriteAdapter(adapter::AdapterTask::kSequenceClassification, folder_.path());
  EXPECT_THAT(Refusal(), HasSubstr("task_type: the adapter of a classifier"));
}

TEST_F(Folder, OfAnAdapterWithoutItsBaseNamesTheKey) {
  WriteAdapter(adapter::AdapterTask::kCausalLanguageModel, "/nowhere/base");
  EXPECT_THAT(Refusal(), HasSubstr("base_model_name_or_path: /nowhere/base is no directory"));
}

TEST_F(Folder, OfAnotherArchitectureListsTheFamilies) {
  Write("config.json", R"({"model_type": "bert"})");
  EXPECT_THAT(Refusal(absl::StatusCode::kUnimplemented), HasSubstr("supported: "));
}

TEST_F(Folder, OfADamagedConfigurationNamesTheFile) {
  Write("adapter_config.json", "{\"peft_type\"");
  EXPECT_THAT(Refusal(), HasSubstr("adapter_config.json"));
}

}  // namespace
}  // namespace anamnesis::infer
