// SPDX-License-Identifier: Apache-2.0
#include "workers/track/wandb_run.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "workers/track/wandb_log.h"
#include "workers/track/yaml_text.h"

namespace anamnesis::track {
namespace {

constexpr char kFolderPrefix[] = "offline-run-";

double Seconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

// config.yaml as W&B has it: each member under `value`.
std::string ConfigYaml(const Json& config) {
  std::string text;
  for (const auto& [key, value] : config.items()) {
    text += Cat(YamlText(key), ":\n    value: ", YamlText(value), "\n");
  }
  return text;
}

}  // namespace

std::string WandbIdOf(const std::string& run_id) {
  const bool fits = !run_id.empty() && run_id.size() <= 64 &&
                    std::all_of(run_id.begin(), run_id.end(), [](unsigned char c) {
                      return std::isalnum(c) != 0 || c == '-' || c == '_';
                    });
  return fits ? run_id : Sha256Hex(run_id).substr(0, 16);
}

std::optional<std::string> FindWandbRun(const std::string& directory, const std::string& run_id) {
  const StatusOr<std::vector<std::string>> names = ListDirectory(directory);
  if (!names.ok()) return std::nullopt;
  const std::string id = WandbIdOf(run_id);
  const size_t size = sizeof("offline-run-yyyymmdd_hhmmss-") - 1 + id.size();
  for (const std::string& name : *names) {
    if (name.size() == size && name.starts_with(kFolderPrefix) && name.ends_with("-" + id)) {
      return Cat(directory, "/", name);
    }
  }
  return std::nullopt;
}

StatusOr<std::unique_ptr<WandbRun>> WandbRun::Open(const WandbStart& start, const Clock& clock) {
  const std::string id = WandbIdOf(start.run_id);
  std::optional<std::string> folder = FindWandbRun(start.plan.directory, start.run_id);
  if (!folder.has_value()) {
    const std::string stamp = absl::FormatTime("%Y%m%d_%H%M%S", clock.Now(), absl::LocalTimeZone());
    folder = Cat(start.plan.directory, "/", kFolderPrefix, stamp, "-", id);
  }
  ANAM_RETURN_IF_ERROR(MakeDirectories(*folder + "/files"));
  std::unique_ptr<WandbRun> run(new WandbRun(*std::move(folder), id, clock));
  ANAM_ASSIGN_OR_RETURN(const EarlierWandbRun earlier, run->ReadEarlier(start.attempt));
  ANAM_RETURN_IF_ERROR(run->WriteAnew(start, earlier));
  ANAM_RETURN_IF_ERROR(run->WriteFiles(start));
  return run;
}

StatusOr<EarlierWandbRun> WandbRun::ReadEarlier(uint64_t attempt) const {
  EarlierWandbRun earlier;
  if (!PathExists(LogPath())) return earlier;
  const StatusOr<std::string> content = ReadFile(LogPath());
  ANAM_RETURN_IF_ERROR(content.status());
  // A damaged file costs the times of its rows; the rows are in log_history.
  if (const StatusOr<WandbLog> log = ScanWandbLog(*content); log.ok()) {
    for (const std::string& record : log->records) NoteRecord(record, &earlier);
  }
  if (earlier.attempt > attempt) {
    return Aborted(LogPath(), ": attempt ", earlier.attempt, " writes here, this is ", attempt);
  }
  return earlier;
}

Status WandbRun::WriteAnew(const WandbStart& start, const EarlierWandbRun& earlier) {
  opened_ = clock_.Monotonic();
  start_time_s_ = earlier.start_time_s > 0 ? earlier.start_time_s : Seconds(clock_.Now());
  const contract::WandbPlan& plan = start.plan;
  const WandbRunFields fields{.run_id = id_,
                              .entity = plan.entity,
                              .project = plan.project,
                              .group = plan.group,
                              .job_type = plan.job_type,
                              .name = plan.run_name,
                              .notes = plan.notes,
                              .tags = plan.tags,
                              .start_time_s = start_time_s_};
  std::string content(kWandbLogHeader);
  Frame(WandbHeader(next_num_++, start.attempt), 0, &content);
  Frame(WandbRunRecord(next_num_++, fields), 0, &content);
  Frame(WandbConfig(next_num_++, start.config), 0, &content);
  Frame(WandbAxis(next_num_++), 0, &content);
  Frame(WandbAxisOfAll(next_num_++), 0, &content);
  for (const Json& row : start.log_history) content += RecordsOf(row, &earlier, content.size());
  ANAM_ASSIGN_OR_RETURN(StagedFile staged, StagedFile::Create(LogPath()));
  ANAM_RETURN_IF_ERROR(staged.Append(content));
  ANAM_RETURN_IF_ERROR(staged.Commit());
  // A sync of an earlier attempt's file says nothing about this one.
  for (const char* suffix : {".synced", ".syncstate"}) ::unlink((LogPath() + suffix).c_str());
  ANAM_ASSIGN_OR_RETURN(file_, TrackerFile::Continue(LogPath(), content.size()));
  return absl::OkStatus();
}

Status WandbRun::WriteFiles(const WandbStart& start) const {
  const Json metadata = {
      {"program", "anamnesis-rank"},
      {"startedAt",
       absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::UnixEpoch() + absl::Seconds(start_time_s_),
                        absl::UTCTimeZone())}};
  ANAM_RETURN_IF_ERROR(
      WriteFileDurably(folder_ + "/files/wandb-metadata.json", metadata.dump(2) + "\n"));
  ANAM_RETURN_IF_ERROR(WriteFileDurably(folder_ + "/files/config.yaml", ConfigYaml(start.config)));
  return WriteSummaryFile();
}

Status WandbRun::WriteSummaryFile() const {
  std::string text = "{";
  for (const auto& [key, value] : summary_) {
    text += Cat(text.size() > 1 ? ", " : "", Json(key).dump(), ": ", value);
  }
  return WriteFileDurably(folder_ + "/files/wandb-summary.json", text + "}\n");
}

Status WandbRun::Log(const Json& row) {
  return file_->Append(RecordsOf(row, nullptr, file_->end_bytes()));
}

Status WandbRun::Finish(int exit_code) {
  std::string out;
  Frame(WandbExit(next_num_++, exit_code,
                  earlier_runtime_s_ + absl::ToDoubleSeconds(clock_.Monotonic() - opened_)),
        file_->end_bytes(), &out);
  ANAM_RETURN_IF_ERROR(file_->Append(out));
  return WriteSummaryFile();
}

std::string WandbRun::RecordsOf(const Json& row, const EarlierWandbRun* earlier,
                                uint64_t size_bytes) {
  WandbRow line;
  Scalars of_run;
  if (row.is_object()) {
    Json curves = row;
    for (const auto& [key, value] : row.items()) {
      if (!IsOfWholeRun(key)) continue;
      Json alone;
      alone[key] = value;
      for (const auto& scalar : ScalarsOf(alone)) of_run.emplace_back(key, scalar.second);
      curves.erase(key);
    }
    line.scalars = ScalarsOf(curves);
  }
  line.number = next_row_++;
  line.global_step = StepOf(row);
  line.time_s = Seconds(clock_.Now());
  line.runtime_s = earlier_runtime_s_ + absl::ToDoubleSeconds(clock_.Monotonic() - opened_);
  if (earlier != nullptr) {
    const auto known = earlier->rows.find(RowName(line.global_step, line.scalars));
    if (known != earlier->rows.end()) {
      line.time_s = known->second.time_s;
      line.runtime_s = known->second.runtime_s;
    }
    earlier_runtime_s_ = std::max(earlier_runtime_s_, line.runtime_s);
  }
  std::string out;
  for (const auto& [tag, value] : line.scalars) {
    if (tags_.insert(tag).second) Frame(WandbAxisOf(next_num_++, tag), size_bytes, &out);
  }
  if (!of_run.empty()) Frame(WandbSummary(next_num_++, of_run), size_bytes, &out);
  Frame(WandbSummaryOfRow(next_num_++, line), size_bytes, &out);
  Frame(WandbHistory(next_num_++, line), size_bytes, &out);
  for (const auto& [key, value] : of_run) summary_[key] = NumberText(value);
  for (const auto& [key, text] : ItemsOf(line)) summary_[key] = text;
  return out;
}

void WandbRun::Frame(const std::string& record, uint64_t size_bytes, std::string* out) const {
  FrameWandbRecord(record, size_bytes + out->size(), out);
}

}  // namespace anamnesis::track
