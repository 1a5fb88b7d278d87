// SPDX-License-Identifier: Apache-2.0
// The records of a W&B run file: protobuf messages Record of wandb/proto/wandb_internal.proto, as
// the package itself writes them offline; and what a resumed run reads back from its earlier file.
// Field numbers are in the .cc, from that public definition. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/io/json.h"
#include "workers/track/log_row.h"

namespace anamnesis::track {

struct WandbRunFields {
  std::string run_id, entity, project, group, job_type, name, notes;
  std::vector<std::string> tags;
  double start_time_s = 0;  // since 1970
};

// A line of the history, with what W&B adds to it.
struct WandbRow {
  int64_t number = 0;       // `_step`: lines before this one
  int64_t global_step = 0;  // `train/global_step`: the x axis of every curve
  Scalars scalars;
  double time_s = 0;     // `_timestamp`, since 1970
  double runtime_s = 0;  // `_runtime`, since the run's start
};

// Each is one Record; `num` counts them from 1. `attempt` is told by HeaderRecord's producer.
std::string WandbHeader(int64_t num, uint64_t attempt);
std::string WandbRunRecord(int64_t num, const WandbRunFields& run);
std::string WandbConfig(int64_t num, const Json& config);  // an object; one item a member
// Every curve is drawn over train/global_step (define_metric of HF's callback): the axis itself,
// the rule for all, and what the rule makes of one tag.
std::string WandbAxis(int64_t num);
std::string WandbAxisOfAll(int64_t num);
std::string WandbAxisOf(int64_t num, const std::string& tag);
std::string WandbHistory(int64_t num, const WandbRow& row);
std::string WandbSummaryOfRow(int64_t num, const WandbRow& row);
std::string WandbSummary(int64_t num, const Scalars& values);
std::string WandbExit(int64_t num, int64_t exit_code, double runtime_s);

// The row's data by key, in the order of the file: its scalars, train/global_step and W&B's own.
std::vector<std::pair<std::string, std::string>> ItemsOf(const WandbRow& row);

// What is kept of an earlier file of the run.
struct EarlierWandbRun {
  uint64_t attempt = 0;     // that wrote it; 0 when it does not say
  double start_time_s = 0;  // 0: not known
  struct Times {
    double time_s = 0;
    double runtime_s = 0;
  };
  std::map<std::string, Times> rows;  // by RowName
};
// Names a row: its global step and its tags.
std::string RowName(int64_t global_step, const Scalars& scalars);
// Notes one record. What is damaged or of another kind is passed over.
void NoteRecord(std::string_view record, EarlierWandbRun* earlier);

}  // namespace anamnesis::track
