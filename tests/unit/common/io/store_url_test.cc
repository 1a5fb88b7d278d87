// SPDX-License-Identifier: Apache-2.0
#include "common/io/store_url.h"

#include <gtest/gtest.h>

namespace anamnesis {
namespace {

TEST(StoreUrl, IsABucketAndAPrefix) {
  const auto plain = ParseStoreUrl("s3://my-bucket");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->key_path(), "my-bucket");
  for (const char* url : {"s3://my-bucket/runs/2026", "s3://my-bucket/runs/2026/"}) {
    const auto deep = ParseStoreUrl(url);
    ASSERT_TRUE(deep.ok()) << deep.status();
    EXPECT_EQ(deep->bucket, "my-bucket");
    EXPECT_EQ(deep->prefix, "runs/2026");
    EXPECT_EQ(deep->key_path(), "my-bucket/runs/2026");
  }
}

TEST(StoreUrl, RefusesAllElseAndRepeatsNoKey) {
  for (const char* url :
       {"", "s3:/", "s3://", "s3:///x", "http://my-bucket/x", "s3://ab", "s3://My-bucket",
        "s3://my-bucket//", "s3://my-bucket/a//b", "s3://my-bucket/../x", "s3://my-bucket/a b",
        "s3://my-bucket/a?endpoint_override=x", "s3://KEYID:SECRET@my-bucket/x",
        "s3://my-bucket/KEYID:SECRET@x", "s3://my-bucket/x#y"}) {
    const auto parsed = ParseStoreUrl(url);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_EQ(MessageOf(parsed.status()).find("SECRET"), std::string::npos) << url;
  }
}

}  // namespace
}  // namespace anamnesis
