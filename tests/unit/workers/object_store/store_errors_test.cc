// SPDX-License-Identifier: Apache-2.0
// The texts are those of Arrow 26 before versitygw and before no server at all.
#include "workers/object_store/store_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::object_store {
namespace {

using ::testing::HasSubstr;

absl::StatusCode CodeOf(const std::string& text) {
  return StatusOfStoreError("s3://b/x", text).code();
}

TEST(StoreErrors, SayWhatIsToBeDone) {
  EXPECT_EQ(
      CodeOf("When uploading part for key 'a/x' in bucket 'b': AWS Error UNKNOWN (HTTP status "
             "507) during UploadPart operation: Unable to parse ExceptionName: "
             "InsufficientStorage Message: No space left on device."),
      absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(
      CodeOf("AWS Error UNKNOWN (HTTP status 403) during PutObject operation: Unable to parse "
             "ExceptionName: QuotaExceeded Message: Your request was denied due to quota "
             "exceeded."),
      absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(CodeOf("When getting information for bucket 'b': AWS Error ACCESS_DENIED during "
                   "HeadBucket operation: No response body."),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeOf("AWS Error UNKNOWN (HTTP status 404) during ListObjectsV2 operation: Unable to "
                   "parse ExceptionName: XAdminUserNotFound Message: No user exists with the "
                   "provided access key ID."),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeOf("AWS Error SIGNATURE_DOES_NOT_MATCH during CreateMultipartUpload operation: The "
                   "request signature we calculated does not match"),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeOf("When initiating multiple part upload for key 'a/x' in bucket 'nope': AWS Error "
                   "NO_SUCH_BUCKET during CreateMultipartUpload operation: The specified bucket "
                   "does not exist."),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(
      CodeOf("AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7, Could not "
             "connect to server"),
      absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeOf("what nobody has seen before"), absl::StatusCode::kUnavailable);
}

TEST(StoreErrors, ADamagedObjectIsNotAskedForAgain) {
  EXPECT_EQ(StatusOfStoreError("s3://b/x",
                               "AWS Error VALIDATION during GetObject operation: Response "
                               "checksums mismatch")
                .code(),
            absl::StatusCode::kDataLoss);
}

TEST(StoreErrors, AreOneLine) {
  const Status status = StatusOfStoreError("s3://b/x", "one\ntwo\x1b[31m" + std::string(5000, 'x'));
  EXPECT_THAT(MessageOf(status), HasSubstr("one two"));
  EXPECT_EQ(MessageOf(status).find_first_of("\n\x1b"), std::string::npos);
  EXPECT_LT(MessageOf(status).size(), 1000);
}

TEST(StoreErrors, ComeBackFromALog) {
  for (const Status& status : {ResourceExhausted("s3://b/x: No space left"), NotFound("s3: gone"),
                               Unavailable("error: of an error: x")}) {
    EXPECT_EQ(StatusOfLog("noise\n" + ErrorLine(status) + "\nmore noise\n"), status);
    EXPECT_EQ(StatusOfLog(ErrorLine(status)), status);
  }
  EXPECT_EQ(StatusOfLog("error: NOT_FOUND: a\nerror: ABORTED: b\n"), Aborted("b"));
}

TEST(StoreErrors, OfALogWithoutOneCanBeTriedAgain) {
  for (const char* log : {"", "\n", "\n\n", "error: ", "error: OK: x", "error: NO_SUCH: x\n"}) {
    EXPECT_EQ(StatusOfLog(log).code(), absl::StatusCode::kUnavailable) << log;
  }
}

}  // namespace
}  // namespace anamnesis::object_store
