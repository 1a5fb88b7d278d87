// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/attempts.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "workers/checkpoint/manifest.h"
#include "workers/stream/stream_spec.h"

namespace anamnesis::agent {
namespace {

constexpr int64_t kVersion = 1;

std::string RecordPath(const std::string& marker) { return marker + "/run.json"; }

StatusOr<Json> Object(const Json& json, const char* key, const std::string& source) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_object())
    return InvalidArgument(source, ": key '", key, "': expected an object");
  return *found;
}

StatusOr<RunRecord> Parse(const Json& json, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const int64_t version, JsonInt(json, "version", source));
  if (version != kVersion)
    return InvalidArgument(source, ": key 'version': ", version, ", expected ", kVersion);
  RunRecord record;
  ANAM_ASSIGN_OR_RETURN(record.run_id, JsonString(json, "run_id", source));
  ANAM_ASSIGN_OR_RETURN(record.task, JsonString(json, "task", source));
  ANAM_ASSIGN_OR_RETURN(const int64_t attempt, JsonInt(json, "attempt", source));
  record.attempt = static_cast<uint64_t>(attempt);
  ANAM_ASSIGN_OR_RETURN(record.resolved_spec, Object(json, "resolved_spec", source));
  ANAM_ASSIGN_OR_RETURN(record.spec_yaml_sha256, JsonString(json, "spec_yaml_sha256", source));
  ANAM_ASSIGN_OR_RETURN(record.stream, Object(json, "stream", source));
  ANAM_ASSIGN_OR_RETURN(record.shards_manifest_sha256,
                        JsonString(json, "shards_manifest_sha256", source));
  ANAM_ASSIGN_OR_RETURN(record.base_model_sha256, JsonString(json, "base_model_sha256", source));
  ANAM_ASSIGN_OR_RETURN(record.tensorboard_directory,
                        JsonString(json, "tensorboard_directory", source));
  return record;
}

// Keys that change nothing in what is trained.
bool MayChange(const std::string& key) {
  return key == "training.output_dir" || key == "training.overwrite_output_dir" ||
         key == "training.threads_per_rank" || key.starts_with("resources") ||
         key.starts_with("wandb");
}

std::string StepsPath(const std::string& marker, uint64_t attempt) {
  return Cat(marker, "/steps-", attempt);
}

}  // namespace

StatusOr<RunRecord> ReadRunRecord(const std::string& marker) {
  const std::string path = RecordPath(marker);
  const StatusOr<Json> json = ReadJsonFile(path);
  StatusOr<RunRecord> record = json.ok() ? Parse(*json, path) : StatusOr<RunRecord>(json.status());
  if (!record.ok()) return DataLoss(MessageOf(record.status()));
  return record;
}

Status WriteRunRecord(const std::string& marker, const RunRecord& record) {
  const Json json = {{"version", kVersion},
                     {"run_id", record.run_id},
                     {"task", record.task},
                     {"attempt", record.attempt},
                     {"resolved_spec", record.resolved_spec},
                     {"spec_yaml_sha256", record.spec_yaml_sha256},
                     {"stream", record.stream},
                     {"shards_manifest_sha256", record.shards_manifest_sha256},
                     {"base_model_sha256", record.base_model_sha256},
                     {"tensorboard_directory", record.tensorboard_directory}};
  return WriteFileDurably(RecordPath(marker),
                          json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

StatusOr<std::vector<std::string>> KeysThatForbidResume(const RunRecord& before,
                                                        const RunRecord& now) {
  std::vector<std::string> keys;
  if (before.task != now.task) keys.emplace_back("--task");
  for (const std::string& key :
       checkpoint::ChangedSpecKeys(before.resolved_spec, now.resolved_spec)) {
    if (!MayChange(key)) keys.push_back(key);
  }
  if (!keys.empty()) return keys;  // the rest follows from them
  ANAM_ASSIGN_OR_RETURN(const stream::StreamSpec old_stream,
                        stream::StreamSpecFromJson(before.stream, "run.json"));
  ANAM_ASSIGN_OR_RETURN(const stream::StreamSpec new_stream,
                        stream::StreamSpecFromJson(now.stream, "this run"));
  for (const std::string& key : stream::ChangedKeys(old_stream, new_stream)) {
    keys.push_back(key + " (the text in the configuration is the same)");
  }
  if (before.base_model_sha256 != now.base_model_sha256)
    keys.emplace_back("model.model_name (the model has changed)");
  if (before.shards_manifest_sha256 != now.shards_manifest_sha256) {
    keys.emplace_back("data.data_dir (the data or the lookup files have changed)");
  }
  return keys;
}

StatusOr<int64_t> StepsExecuted(const std::string& marker) {
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(marker));
  int64_t total = 0;
  for (const std::string& name : names) {
    if (!name.starts_with("steps-")) continue;
    ANAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(Cat(marker, "/", name)));
    long long first = 0;
    long long last = 0;
    if (text.empty()) continue;
    if (std::sscanf(text.c_str(), "%lld %lld", &first, &last) != 2 || first < 1 || last < first) {
      return DataLoss(marker, "/", name, ": expected two step numbers");
    }
    total += last - first + 1;
  }
  return total;
}

StatusOr<StepCounter> StepCounter::Create(const std::string& marker, uint64_t attempt) {
  const std::string path = StepsPath(marker, attempt);
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file.valid()) return InvalidArgument(path, ": cannot create: ", ErrnoText(errno));
  return StepCounter(std::move(file), path);
}

Status StepCounter::Add(int64_t step) {
  if (first_ == 0) first_ = step;
  last_ = step;
  char text[64];
  // Of fixed length, written in one call: a kill between two steps leaves the one or the other.
  const int length = std::snprintf(text, sizeof text, "%19lld %19lld\n",
                                   static_cast<long long>(first_), static_cast<long long>(last_));
  if (::pwrite(file_.get(), text, static_cast<size_t>(length), 0) != length) {
    return ResourceExhausted(path_, ": cannot write: ", ErrnoText(errno));
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::agent
