// SPDX-License-Identifier: Apache-2.0
// A W&B run file as an earlier attempt left it, and its records. What was read is framed again to
// the same bytes.
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "workers/track/wandb_log.h"
#include "workers/track/wandb_records.h"

namespace {

using namespace anamnesis::track;

std::string Framed(const std::vector<std::string>& records) {
  std::string content(kWandbLogHeader);
  for (const std::string& record : records) FrameWandbRecord(record, content.size(), &content);
  return content;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  WandbRow row;
  row.number = 1;
  row.global_step = 7;
  row.scalars = {{"train/loss", 2.5}};
  row.time_s = 1e9;
  WandbRunFields run;
  run.run_id = "r";
  run.tags = {"a"};
  run.start_time_s = 1.5e9;
  return {Framed({WandbHeader(1, 3), WandbRunRecord(2, run), WandbHistory(3, row),
                  WandbSummaryOfRow(4, row), WandbExit(5, 0, 2.5)}),
          Framed({std::string(32'740, 'x'), WandbHistory(1, row), std::string(70'000, 'y')})};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const auto log = ScanWandbLog(content);
  if (!log.ok()) return 0;
  if (log->size_bytes > size) __builtin_trap();
  EarlierWandbRun earlier;
  for (const std::string& record : log->records) NoteRecord(record, &earlier);
  const auto again = ScanWandbLog(Framed(log->records));
  if (!again.ok() || again->records != log->records || !again->torn.empty()) __builtin_trap();
  // A record alone, so that its fields are reached without a right checksum.
  NoteRecord(content, &earlier);
  return 0;
}
