// SPDX-License-Identifier: Apache-2.0
// What is known and not built yet is refused by key and value, with exit code 6, and never ignored.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/config/schema.h"
#include "tests/unit/common/config/config_text.h"

namespace anamnesis::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(NotBuilt, IsRefusedByKeyAndValue) {
  for (const char* setting :
       {"wandb.mode=online", "data.profile=fused", "data.time_mode=interval",
        "data.time_mode=delta", "data.time_mode=age", "data.time_mode=date", "data.value_mode=raw",
        "data.truncation=oldest", "model.head_type=mlp", "model.freeze_llm=false",
        "model.train_lora=false", "lora.bias=all", "resources.ranks_per_node=2",
        "resources.ranks={min: 1, max: 2}", "audit=strict"}) {
    const Status status = LoadWith({setting}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << setting;
    EXPECT_EQ(ExitCodeOf(status), 6);
    const std::string text = setting;
    EXPECT_THAT(MessageOf(status),
                AllOf(HasSubstr(text.substr(0, text.find('='))), HasSubstr("not built yet")));
  }
}

TEST(NotBuilt, TheValueIsNamedWithItsPlace) {
  EXPECT_EQ(MessageOf(Load(std::string(kSmall) + "audit: strict\n").status()),
            "job.yaml:12:1: audit: strict is not built yet: use default");
}

TEST(NotBuilt, AllAreListedAtOnce) {
  const Status status =
      Load(std::string(kSmall) + "audit: strict\nresources:\n  ranks_per_node: 2\n",
           {"data.profile=fused"})
          .status();
  const std::string text = MessageOf(status);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_THAT(text, AllOf(HasSubstr("audit"), HasSubstr("ranks_per_node"),
                          HasSubstr("--set: data.profile")));
}

TEST(NotBuilt, AWrongFileIsToldToBeWrongFirst) {
  const Status status = LoadWith({"audit=strict", "training.epochs=0"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), Not(HasSubstr("not built yet")));
}

TEST(NotBuilt, EveryOtherTaskIsRefused) {
  for (const Task task : AllTasks()) {
    if (IsBuilt(task)) continue;
    const Status status = Load(kSmall, {}, task).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << NameOf(task);
    EXPECT_THAT(MessageOf(status), HasSubstr(Cat("task: ", NameOf(task), " is not built yet")));
  }
}

TEST(NotBuilt, ValuesThatAreWhatRunsAnywayAreAccepted) {
  for (const char* setting :
       {"wandb.mode=offline", "lora.bias=none", "audit=default", "data.profile=seed",
        "data.time_mode=none", "training.fp16=false", "wandb.enabled=false"}) {
    EXPECT_TRUE(LoadWith({setting}).ok()) << setting;
  }
}

}  // namespace
}  // namespace anamnesis::config
