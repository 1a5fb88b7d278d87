// SPDX-License-Identifier: Apache-2.0
#include "workers/track/wandb_records.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "workers/track/wire.h"

namespace anamnesis::track {
namespace {

constexpr char kGlobalStep[] = "train/global_step";
constexpr std::string_view kProducer = "anamnesis attempt ";

// Record, its kinds.
enum RecordField {
  kNum = 1,
  kHistory = 2,
  kSummary = 3,
  kConfig = 5,
  kMetric = 12,
  kRun = 17,
  kExit = 18,
  kHeader = 21
};
// HeaderRecord.version_info, VersionInfo.
enum HeaderField { kVersionInfo = 1, kProducerName = 1 };
// RunRecord.
enum RunField {
  kRunId = 1,
  kEntity = 2,
  kProject = 3,
  kRunGroup = 6,
  kJobType = 7,
  kDisplayName = 8,
  kNotes = 9,
  kTags = 10,
  kStartTime = 17
};
// ConfigRecord, HistoryRecord and SummaryRecord have their items in field 1; the items agree too.
enum ItemField { kItem = 1, kHistoryStep = 2, kItemKey = 1, kItemNestedKey = 2, kItemValue = 16 };
// MetricRecord and MetricOptions.
enum MetricField {
  kMetricName = 1,
  kGlobName = 2,
  kStepMetric = 4,
  kOptions = 6,
  kMetricSummary = 7,
  kControl = 9,
  kFromGlob = 10,
  kStepSync = 1,
  kDefined = 3,
  kOverwrite = 1
};
// RunExitRecord.
enum ExitField { kExitCode = 1, kExitRuntime = 2 };

std::string Record(int64_t num, RecordField kind, const WireWriter& message) {
  return WireWriter().Int(kNum, num).Message(kind, message).bytes();
}

WireWriter Timestamp(double seconds) {
  const double whole = std::floor(seconds);
  return WireWriter()
      .Int(1, static_cast<int64_t>(whole))
      .Int(2, static_cast<int64_t>((seconds - whole) * 1e9));
}

WireWriter Item(ItemField key_field, std::string_view key, std::string_view value_json) {
  return WireWriter().Bytes(key_field, key).Bytes(kItemValue, value_json);
}

double NumberIn(std::string_view text) { return std::strtod(std::string(text).c_str(), nullptr); }

std::string_view ContentOf(std::string_view message, uint64_t key) {
  WireReader::Field field;
  for (WireReader fields(message); fields.Next(&field);) {
    if (field.key == key) return field.bytes;
  }
  return {};
}

void NoteHeader(std::string_view header, EarlierWandbRun* earlier) {
  std::string_view producer =
      ContentOf(ContentOf(header, WireKey(kVersionInfo, kBytes)), WireKey(kProducerName, kBytes));
  if (!producer.starts_with(kProducer)) return;
  producer.remove_prefix(kProducer.size());
  std::from_chars(producer.data(), producer.data() + producer.size(), earlier->attempt);
}

void NoteRun(std::string_view run, EarlierWandbRun* earlier) {
  WireReader::Field field;
  double seconds = 0;
  for (WireReader fields(ContentOf(run, WireKey(kStartTime, kBytes))); fields.Next(&field);) {
    if (field.key == WireKey(1, kVarint)) seconds += static_cast<double>(field.number);
    if (field.key == WireKey(2, kVarint)) seconds += 1e-9 * static_cast<double>(field.number);
  }
  earlier->start_time_s = seconds;
}

void NoteHistory(std::string_view history, EarlierWandbRun* earlier) {
  EarlierWandbRun::Times times;
  Scalars scalars;
  int64_t global_step = 0;
  WireReader::Field field;
  for (WireReader fields(history); fields.Next(&field);) {
    if (field.key != WireKey(kItem, kBytes)) continue;
    const std::string key(ContentOf(field.bytes, WireKey(kItemNestedKey, kBytes)));
    const double value = NumberIn(ContentOf(field.bytes, WireKey(kItemValue, kBytes)));
    if (key == "_timestamp") {
      times.time_s = value;
    } else if (key == "_runtime") {
      times.runtime_s = value;
    } else if (key == kGlobalStep) {
      global_step = value >= 0 && value < 1e18 ? static_cast<int64_t>(value) : 0;
    } else if (key != "_step") {
      scalars.emplace_back(key, value);
    }
  }
  earlier->rows[RowName(global_step, scalars)] = times;
}

}  // namespace

std::string WandbHeader(int64_t num, uint64_t attempt) {
  const WireWriter version = WireWriter().Bytes(kProducerName, Cat(kProducer, attempt));
  return Record(num, kHeader, WireWriter().Message(kVersionInfo, version));
}

std::string WandbRunRecord(int64_t num, const WandbRunFields& run) {
  WireWriter message;
  message.Text(kRunId, run.run_id)
      .Text(kEntity, run.entity)
      .Text(kProject, run.project)
      .Text(kRunGroup, run.group)
      .Text(kJobType, run.job_type)
      .Text(kDisplayName, run.name)
      .Text(kNotes, run.notes);
  for (const std::string& tag : run.tags) message.Bytes(kTags, tag);
  message.Message(kStartTime, Timestamp(run.start_time_s));
  return Record(num, kRun, message);
}

std::string WandbConfig(int64_t num, const Json& config) {
  WireWriter message;
  for (const auto& [key, value] : config.items()) {
    message.Message(
        kItem, Item(kItemKey, key, value.dump(-1, ' ', false, Json::error_handler_t::replace)));
  }
  return Record(num, kConfig, message);
}

std::string WandbAxis(int64_t num) {
  return Record(num, kMetric,
                WireWriter()
                    .Bytes(kMetricName, kGlobalStep)
                    .Message(kOptions, WireWriter().Int(kDefined, 1)));
}

std::string WandbAxisOfAll(int64_t num) {
  return Record(num, kMetric,
                WireWriter()
                    .Bytes(kGlobName, "*")
                    .Bytes(kStepMetric, kGlobalStep)
                    .Message(kOptions, WireWriter().Int(kStepSync, 1).Int(kDefined, 1)));
}

std::string WandbAxisOf(int64_t num, const std::string& tag) {
  return Record(num, kMetric,
                WireWriter()
                    .Bytes(kMetricName, tag)
                    .Bytes(kStepMetric, kGlobalStep)
                    .Message(kOptions, WireWriter().Int(kStepSync, 1))
                    .Message(kMetricSummary, WireWriter())
                    .Message(kControl, WireWriter().Int(kOverwrite, 1))
                    .Int(kFromGlob, 1));
}

std::vector<std::pair<std::string, std::string>> ItemsOf(const WandbRow& row) {
  std::vector<std::pair<std::string, std::string>> items;
  for (const auto& [tag, value] : row.scalars) items.emplace_back(tag, NumberText(value));
  items.emplace_back(kGlobalStep, Cat(row.global_step));
  items.emplace_back("_timestamp", NumberText(row.time_s));
  items.emplace_back("_runtime", NumberText(row.runtime_s));
  items.emplace_back("_step", Cat(row.number));
  return items;
}

std::string WandbHistory(int64_t num, const WandbRow& row) {
  WireWriter message;
  for (const auto& [key, text] : ItemsOf(row)) {
    message.Message(kItem, Item(kItemNestedKey, key, text));
  }
  message.Message(kHistoryStep, WireWriter().Int(1, row.number));
  return Record(num, kHistory, message);
}

std::string WandbSummaryOfRow(int64_t num, const WandbRow& row) {
  WireWriter message;
  for (const auto& [key, text] : ItemsOf(row)) {
    message.Message(kItem, Item(kItemNestedKey, key, text));
  }
  return Record(num, kSummary, message);
}

std::string WandbSummary(int64_t num, const Scalars& values) {
  WireWriter message;
  for (const auto& [key, value] : values) {
    message.Message(kItem, Item(kItemKey, key, NumberText(value)));
  }
  return Record(num, kSummary, message);
}

std::string WandbExit(int64_t num, int64_t exit_code, double runtime_s) {
  return Record(
      num, kExit,
      WireWriter().Int(kExitCode, exit_code).Int(kExitRuntime, static_cast<int64_t>(runtime_s)));
}

std::string RowName(int64_t global_step, const Scalars& scalars) {
  std::string name = Cat(global_step);
  for (const auto& scalar : scalars) name += Cat(" ", scalar.first);
  return name;
}

void NoteRecord(std::string_view record, EarlierWandbRun* earlier) {
  WireReader::Field field;
  for (WireReader fields(record); fields.Next(&field);) {
    if (field.key == WireKey(kHeader, kBytes)) NoteHeader(field.bytes, earlier);
    if (field.key == WireKey(kRun, kBytes)) NoteRun(field.bytes, earlier);
    if (field.key == WireKey(kHistory, kBytes)) NoteHistory(field.bytes, earlier);
  }
}

}  // namespace anamnesis::track
