// SPDX-License-Identifier: Apache-2.0
// Statuses to the wire's form and back.
#include "common/rpc/status.h"

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include "common/config/field_violations.h"

namespace anamnesis::rpc {
namespace {

using config::FieldViolation;
using config::FieldViolationsOf;
using config::WithFieldViolations;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <typename Message>
std::optional<Message> DetailOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  for (const auto& any : details.details()) {
    Message message;
    if (any.UnpackTo(&message)) return message;
  }
  return std::nullopt;
}

// Bytes that message and details take in the trailer, at most.
size_t TrailerBytes(const grpc::Status& status) {
  size_t size = (status.error_details().size() + 2) / 3 * 4;
  for (const char c : status.error_message()) size += c < 0x20 || c > 0x7e || c == '%' ? 3 : 1;
  return size;
}

std::vector<FieldViolation> ManyViolations(int count) {
  std::vector<FieldViolation> violations;
  for (int i = 0; i < count; ++i) {
    violations.push_back({Cat("training.key_", i), Cat("job.yaml:", i, ":3: expected ≥ 1")});
  }
  return violations;
}

TEST(ToGrpc, EveryCodeComesBack) {
  for (int code = 1; code <= 16; ++code) {
    const Status status(static_cast<absl::StatusCode>(code), Cat("text ≥ of ", code, "\nline two"));
    const grpc::Status sent = ToGrpc(status);
    EXPECT_EQ(static_cast<int>(sent.error_code()), code);
    EXPECT_TRUE(IsFromServer(sent));
    const auto info = DetailOf<google::rpc::ErrorInfo>(sent);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->domain(), "anamnesis");
    EXPECT_EQ(info->reason(), absl::StatusCodeToString(status.code()));
    const Status back = FromGrpc(sent);
    EXPECT_EQ(back.code(), status.code());
    EXPECT_EQ(MessageOf(back), MessageOf(status));
  }
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok());
}

TEST(ToGrpc, NamesEachBadKey) {
  const std::vector<FieldViolation> violations = {
      {"training.epoch", "job.yaml:27:3: training.epoch: unknown key"}, {"", "--set: no key"}};
  const grpc::Status sent = ToGrpc(WithFieldViolations(InvalidArgument("two lines"), violations));
  const auto bad = DetailOf<google::rpc::BadRequest>(sent);
  ASSERT_TRUE(bad.has_value());
  ASSERT_EQ(bad->field_violations_size(), 2);
  EXPECT_EQ(bad->field_violations(0).field(), "training.epoch");
  EXPECT_EQ(FieldViolationsOf(FromGrpc(sent)), violations);
}

TEST(ToGrpc, ATypedDetailIsTheReasonAndSurvives) {
  Status status = Aborted("epoch 3 is over");
  status.SetPayload("anamnesis.v1/stale_epoch", absl::Cord("4"));
  EXPECT_EQ(ReasonOf(status), "STALE_EPOCH");
  const grpc::Status sent = ToGrpc(status);
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(sent)->reason(), "STALE_EPOCH");
  const Status back = FromGrpc(sent);
  EXPECT_EQ(ReasonOf(back), "STALE_EPOCH");
  EXPECT_EQ(std::string(*back.GetPayload("anamnesis.v1/stale_epoch")), "4");
}

TEST(ToGrpc, SaysWhenToTryAgainWhereThatMakesSense) {
  EXPECT_EQ(RetryDelayOf(FromGrpc(ToGrpc(Unavailable("later")))), absl::Seconds(1));
  EXPECT_EQ(RetryDelayOf(FromGrpc(ToGrpc(ResourceExhausted("full")))), absl::Seconds(10));
  EXPECT_FALSE(DetailOf<google::rpc::RetryInfo>(ToGrpc(InvalidArgument("bad"))).has_value());
  EXPECT_EQ(RetryDelayOf(InvalidArgument("bad")), std::nullopt);
}

TEST(ToGrpc, KeepsTheTrailerBelow8KiB) {
  const std::string long_text(50'000, 'x');
  for (const Status& status :
       {InvalidArgument(long_text), InvalidArgument(std::string(9000, '\xff')),
        WithFieldViolations(InvalidArgument(long_text), ManyViolations(500)),
        WithFieldViolations(InvalidArgument("short"), ManyViolations(500)),
        WithFieldViolations(InvalidArgument("short"), {{"k", long_text}})}) {
    const grpc::Status sent = ToGrpc(status);
    EXPECT_LE(TrailerBytes(sent), 7u * 1024u);
    EXPECT_TRUE(IsFromServer(sent));
  }
}

TEST(ToGrpc, CountsTheViolationsThatAreLeftOut) {
  const Status back =
      FromGrpc(ToGrpc(WithFieldViolations(InvalidArgument("short"), ManyViolations(500))));
  const std::vector<FieldViolation> kept = FieldViolationsOf(back);
  ASSERT_GT(kept.size(), 20u);
  EXPECT_EQ(kept.front(), ManyViolations(1).front());
  EXPECT_EQ(kept.back().description, Cat("and ", 500 - (kept.size() - 1), " more problems"));
}

TEST(ToGrpc, CutsALongTextBehindAWholeCharacter) {
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "≥";
  const std::string cut = MessageOf(FromGrpc(ToGrpc(Internal(text))));
  EXPECT_LT(cut.size(), text.size());
  EXPECT_GT(cut.size(), 1000u);
  EXPECT_THAT(cut, ::testing::EndsWith("≥…"));
}

TEST(FromGrpc, TakesAStatusWithoutOurDetailsAsItIs) {
  for (const grpc::Status& foreign :
       {grpc::Status(grpc::StatusCode::UNAVAILABLE, "Connection refused"),
        grpc::Status(grpc::StatusCode::UNAVAILABLE, "Connection refused", "\xff\xff garbage")}) {
    EXPECT_FALSE(IsFromServer(foreign));
    const Status back = FromGrpc(foreign);
    EXPECT_EQ(back.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(MessageOf(back), "Connection refused");
    EXPECT_THAT(FieldViolationsOf(back), IsEmpty());
    EXPECT_EQ(RetryDelayOf(back), std::nullopt);
  }
}

TEST(FieldViolations, NothingIsAttachedToOkOrWithoutAList) {
  EXPECT_TRUE(WithFieldViolations(absl::OkStatus(), ManyViolations(1)).ok());
  EXPECT_THAT(FieldViolationsOf(WithFieldViolations(Internal("x"), {})), IsEmpty());
  Status broken = Internal("x");
  broken.SetPayload(config::kFieldViolationsUrl, absl::Cord("[[1,2],\"a\",[\"k\",\"d\"]]"));
  EXPECT_THAT(FieldViolationsOf(broken), ElementsAre(FieldViolation{"k", "d"}));
}

}  // namespace
}  // namespace anamnesis::rpc
