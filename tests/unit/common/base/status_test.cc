// SPDX-License-Identifier: Apache-2.0
#include "common/base/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <regex>

#include "tests/unit/common/repository_files.h"

namespace anamnesis {
namespace {

StatusOr<int> Half(int value) {
  if (value % 2 != 0) return InvalidArgument("value ", value, ": expected an even number");
  return value / 2;
}

StatusOr<int> Quarter(int value) {
  ANAM_ASSIGN_OR_RETURN(const int half, Half(value));
  return Half(half);
}

TEST(Status, JoinsThePartsOfItsText) {
  const Status status = DataLoss("shard ", 17, ": crc ", 1.5);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(MessageOf(status), "shard 17: crc 1.5");
}

TEST(Status, ContextGoesInFrontAndKeepsTheCode) {
  const Status status = AddContext(NotFound("no such key"), "job.yaml");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(status), "job.yaml: no such key");
}

TEST(Status, ContextLeavesSuccessAlone) { EXPECT_TRUE(AddContext(absl::OkStatus(), "x").ok()); }

TEST(Status, MacrosHandBackTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(MessageOf(Quarter(6).status()), "value 3: expected an even number");
}

TEST(Status, SystemErrorsHaveTheirText) {
  EXPECT_THAT(ErrnoText(2), ::testing::HasSubstr("No such file"));
}

// docs/errors.md says what each code means; the exit codes there are those of the code.
TEST(Status, ExitCodesAreThoseOfTheDocumentedTable) {
  const std::map<std::string, absl::StatusCode> codes = {
      {"kOk", absl::StatusCode::kOk},
      {"kCancelled", absl::StatusCode::kCancelled},
      {"kUnknown", absl::StatusCode::kUnknown},
      {"kInvalidArgument", absl::StatusCode::kInvalidArgument},
      {"kDeadlineExceeded", absl::StatusCode::kDeadlineExceeded},
      {"kNotFound", absl::StatusCode::kNotFound},
      {"kAlreadyExists", absl::StatusCode::kAlreadyExists},
      {"kPermissionDenied", absl::StatusCode::kPermissionDenied},
      {"kResourceExhausted", absl::StatusCode::kResourceExhausted},
      {"kFailedPrecondition", absl::StatusCode::kFailedPrecondition},
      {"kAborted", absl::StatusCode::kAborted},
      {"kOutOfRange", absl::StatusCode::kOutOfRange},
      {"kUnimplemented", absl::StatusCode::kUnimplemented},
      {"kInternal", absl::StatusCode::kInternal},
      {"kUnavailable", absl::StatusCode::kUnavailable},
      {"kDataLoss", absl::StatusCode::kDataLoss},
      {"kUnauthenticated", absl::StatusCode::kUnauthenticated},
  };
  const std::string table = testing::Slurp(testing::SourceFile("docs/errors.md"));
  const std::regex row(R"(\| `(k\w+)` \|[^|]+\|[^|]+\| (\d+) \|)");
  size_t rows = 0;
  for (std::sregex_iterator it(table.begin(), table.end(), row), end; it != end; ++it, ++rows) {
    const std::string name = (*it)[1];
    ASSERT_TRUE(codes.contains(name)) << name;
    EXPECT_EQ(ExitCodeOf(Status(codes.at(name), "x")), std::stoi((*it)[2])) << name;
  }
  EXPECT_EQ(rows, codes.size());
}

}  // namespace
}  // namespace anamnesis
