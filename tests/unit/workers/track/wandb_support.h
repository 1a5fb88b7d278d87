// SPDX-License-Identifier: Apache-2.0
// Reads W&B run files back for tests, by the scanner alone (the real package does it in
// tests/golden/track).
#pragma once

#include <string>
#include <vector>

#include "common/io/file.h"
#include "workers/track/wandb_log.h"
#include "workers/track/wandb_records.h"
#include "workers/track/wandb_run.h"
#include "workers/track/wire.h"

namespace anamnesis::track {

inline std::string WandbFileOf(const std::string& folder) {
  const std::string id = folder.substr(folder.rfind('-') + 1);
  return Cat(folder, "/run-", id, ".wandb");
}

// The items of every record with this field number, as {key: text of the value}.
inline std::vector<Json> ItemsIn(const std::string& path, int record_field) {
  std::vector<Json> found;
  const WandbLog log = ScanWandbLog(ReadFile(path).value()).value();
  WireReader::Field field;
  for (const std::string& record : log.records) {
    for (WireReader fields(record); fields.Next(&field);) {
      if (field.key != WireKey(record_field, kBytes)) continue;
      Json items = Json::object();
      WireReader::Field item;
      for (WireReader inside(field.bytes); inside.Next(&item);) {
        if (item.key != WireKey(1, kBytes)) continue;
        std::string key;
        WireReader::Field part;
        for (WireReader parts(item.bytes); parts.Next(&part);) {
          if (part.key == WireKey(16, kBytes)) {
            items[key] = std::string(part.bytes);
          } else {
            key = std::string(part.bytes);
          }
        }
      }
      found.push_back(items);
    }
  }
  return found;
}

inline std::vector<Json> HistoryIn(const std::string& path) { return ItemsIn(path, 2); }

// The values of one key of the history, in order; "" where a line lacks it.
inline std::vector<std::string> Column(const std::string& path, const std::string& key) {
  std::vector<std::string> values;
  for (const Json& line : HistoryIn(path)) values.push_back(line.value(key, ""));
  return values;
}

inline Json LossRow(int64_t step, double loss) {
  return {{"epoch", 0.25 * static_cast<double>(step)}, {"loss", loss}, {"step", step}};
}

inline WandbStart SmallStart(const std::string& directory, uint64_t attempt = 1) {
  WandbStart start;
  start.plan.enabled = true;
  start.plan.directory = directory;
  start.plan.project = "p";
  start.run_id = "0123abcd";
  start.attempt = attempt;
  start.config = {{"training", {{"learning_rate", 2e-5}}}};
  return start;
}

}  // namespace anamnesis::track
