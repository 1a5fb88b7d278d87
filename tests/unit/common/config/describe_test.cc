// SPDX-License-Identifier: Apache-2.0
#include "common/config/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/schema.h"
#include "tests/unit/common/repository_files.h"

namespace anamnesis::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ExplainKey, TellsTypeDefaultAndTasks) {
  EXPECT_THAT(*ExplainKey("training.lr_scheduler_type"),
              AllOf(HasSubstr("one of linear, cosine"), HasSubstr("default  linear"),
                    HasSubstr("pretrain_llm")));
  EXPECT_THAT(*ExplainKey("audit"), HasSubstr("not built yet: strict"));
}

TEST(ExplainKey, TellsASectionsKeys) {
  EXPECT_THAT(*ExplainKey("lora"), AllOf(HasSubstr("lora.rank_pattern"), HasSubstr("lora.r:")));
}

TEST(ExplainKey, AnUnknownKeyIsNotFoundWithTheNearest) {
  const Status status = ExplainKey("training.epoch").status();
  EXPECT_EQ(ExitCodeOf(status), 3);
  EXPECT_THAT(MessageOf(status), HasSubstr("did you mean training.epochs?"));
}

TEST(SchemaMarkdown, IsTheCommittedReference) {
  EXPECT_EQ(testing::Slurp(testing::SourceFile("docs/configuration.md")), SchemaMarkdown())
      << "run: anamnesis config schema --format markdown > docs/configuration.md";
}

TEST(SchemaMarkdown, NamesEveryKey) {
  const std::string text = SchemaMarkdown();
  for (const KeyRow& row : Schema()) EXPECT_THAT(text, HasSubstr(Cat("| `", row.path, "` |")));
}

TEST(JsonSchema, HasEveryKeyWithItsType) {
  const Json schema = JsonSchema();
  for (const KeyRow& row : Schema()) {
    std::string pointer = "/properties/";
    for (const char c : row.path) pointer += c == '.' ? "/properties/" : std::string(1, c);
    ASSERT_TRUE(schema.contains(Json::json_pointer(pointer))) << row.path;
    const Json& value = schema.at(Json::json_pointer(pointer));
    EXPECT_TRUE(value.contains("type") || value.contains("anyOf") || value.contains("enum"))
        << row.path;
    EXPECT_EQ(value["description"], row.help) << row.path;
  }
  EXPECT_EQ(schema["properties"]["training"]["additionalProperties"], false);
  EXPECT_EQ(schema["properties"]["training"]["properties"]["learning_rate"]["anyOf"][0]
                  ["exclusiveMinimum"],
            0);
}

}  // namespace
}  // namespace anamnesis::config
