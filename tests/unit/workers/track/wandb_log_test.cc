// SPDX-License-Identifier: Apache-2.0
#include "workers/track/wandb_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::track {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string LogOf(const std::vector<std::string>& records) {
  std::string content(kWandbLogHeader);
  for (const std::string& record : records) FrameWandbRecord(record, content.size(), &content);
  return content;
}

TEST(WandbLog, FramesARecordAsTheFormatSays) {
  std::string out;
  FrameWandbRecord("123456789", 7, &out);
  // CRC-32 of "\x01" "123456789", little-endian; size 9; full.
  EXPECT_EQ(out.substr(4), std::string("\x09\0\1"
                                       "123456789",
                                       12));
  EXPECT_EQ(kWandbLogHeader, std::string_view(":W&B\xe1\xbe\0", 7));
}

TEST(WandbLog, ReadsBackRecordsOfAnySizeAtAnyPlace) {
  // Sizes around a block's end: no room for a header, exactly a header, one byte more, three
  // blocks.
  for (const size_t first : {32768 - 7 - 7 - 8, 32768 - 7 - 7 - 7, 32768 - 7 - 7 - 6,
                             32768 - 7 - 7 - 1, 32768 - 7 - 7, 32768, 0}) {
    const std::vector<std::string> records = {std::string(first, 'a'), "b", std::string(99999, 'c'),
                                              "", "d"};
    const std::string content = LogOf(records);
    const WandbLog log = ScanWandbLog(content).value();
    EXPECT_EQ(log.records, records) << first;
    EXPECT_EQ(log.size_bytes, content.size());
    EXPECT_EQ(log.torn, "");
  }
}

TEST(WandbLog, ReadsATornFileUpToItsLastWholeRecord) {
  const std::string content = LogOf({"one", "two"});
  const size_t second = LogOf({"one"}).size();
  for (size_t size = second + 1; size < content.size(); ++size) {
    const WandbLog log = ScanWandbLog(content.substr(0, size)).value();
    EXPECT_THAT(log.records, ElementsAre("one")) << size;
    EXPECT_EQ(log.size_bytes, second);
    EXPECT_THAT(log.torn, HasSubstr("torn"));
  }
}

TEST(WandbLog, StopsAtADamagedRecord) {
  std::string content = LogOf({"one", "two", "three"});
  content[LogOf({"one"}).size() + 8] ^= 1;
  const WandbLog log = ScanWandbLog(content).value();
  EXPECT_THAT(log.records, ElementsAre("one"));
  EXPECT_THAT(log.torn, HasSubstr("checksum differs at byte "));
}

TEST(WandbLog, RefusesAnotherFile) {
  EXPECT_EQ(ScanWandbLog("").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ScanWandbLog("SQLite format 3").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace anamnesis::track
