// SPDX-License-Identifier: Apache-2.0
#include "common/base/sha256.h"

#include <gtest/gtest.h>

namespace anamnesis {
namespace {

// FIPS 180-4 examples.
TEST(Sha256, EqualsThePublishedDigests) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, PiecesGiveTheDigestOfTheWhole) {
  Sha256 sha;
  sha.Update("a");
  sha.Update("bc");
  EXPECT_EQ(sha.HexDigest(), Sha256Hex("abc"));
}

// RFC 4231, test case 2: HMAC-SHA-256 begins 5bdcc146bf60754e.
TEST(KeyedHash64, IsTheFirstEightBytesOfTheHmac) {
  EXPECT_EQ(KeyedHash64("Jefe", "what do ya want for nothing?"), 0x5bdcc146bf60754eULL);
}

}  // namespace
}  // namespace anamnesis
