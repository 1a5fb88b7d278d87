// SPDX-License-Identifier: Apache-2.0
// Property: whatever byte of a set is flipped, and wherever a file is cut, opening and reading it
// all fails as data loss and names the file.
#include <fstream>

#include "common/io/file.h"
#include "gmock/gmock.h"
#include "tests/unit/workers/shard/made_set.h"
#include "workers/shard/reader.h"

namespace anamnesis::shard {
namespace {

using ::testing::HasSubstr;

// Opens and reads everything; `verify` asks for the digests, too.
Status ReadAll(const std::string& path, bool verify) {
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<ShardSet> set, ShardSet::Open(path));
  if (verify) ANAM_RETURN_IF_ERROR(set->Verify({"train"}));
  Subject subject;
  for (uint64_t i = 0; i < set->splits()[0].num_subjects; ++i) {
    ANAM_RETURN_IF_ERROR(set->Read("train", i, &subject));
  }
  return absl::OkStatus();
}

void Overwrite(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

class Damage : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { ASSERT_TRUE(WriteMadeSet(set_, MadeSubjects(17, 10, 3'000)).ok()); }
  // The hashes are read by other programs only; Verify covers them.
  bool NeedsVerify() const { return std::string(GetParam()).find("hashes") != std::string::npos; }
  void ExpectNamed(const Status& status, size_t position) {
    ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << "byte " << position << ": " << status;
    ASSERT_THAT(MessageOf(status), HasSubstr(GetParam())) << "byte " << position;
  }

  TemporaryFolder directory_;
  std::string set_ = directory_.path() + "/set";
  std::string file_ = set_ + "/" + GetParam();
};

TEST_P(Damage, FlippedBytesAreFound) {
  const std::string content = *ReadFile(file_);
  PhiloxStream random(23, 1);
  // The first and last bytes (headers, index, footer) all, of the rest a sample.
  for (size_t i = 0; i < content.size(); ++i) {
    if (i > 64 && i + 128 < content.size() && random.Below(content.size() / 100 + 1) != 0) continue;
    std::string damaged = content;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << random.Below(8)));
    Overwrite(file_, damaged);
    ExpectNamed(ReadAll(set_, NeedsVerify()), i);
  }
  Overwrite(file_, content);
  EXPECT_TRUE(ReadAll(set_, true).ok());
}

TEST_P(Damage, TruncationIsFound) {
  const std::string content = *ReadFile(file_);
  PhiloxStream random(29, 1);
  for (size_t size = 0; size < content.size(); size += 1 + random.Below(content.size() / 50 + 1)) {
    Overwrite(file_, content.substr(0, size));
    ExpectNamed(ReadAll(set_, NeedsVerify()), size);
  }
  Overwrite(file_, content + "x");
  ExpectNamed(ReadAll(set_, NeedsVerify()), content.size());
}

TEST_P(Damage, AMissingFileIsFound) {
  std::filesystem::remove(file_);
  ExpectNamed(ReadAll(set_, NeedsVerify()), 0);
}

INSTANTIATE_TEST_SUITE_P(EveryFile, Damage,
                         ::testing::Values("manifest.json", "phrases", "train-00000.shard",
                                           "train-00001.shard", "train.subject-hashes"));

}  // namespace
}  // namespace anamnesis::shard
