// SPDX-License-Identifier: Apache-2.0
#include "services/store/store.h"

#include <algorithm>
#include <mutex>

#include "common/base/check.h"
#include "services/store/fields.h"
#include "services/store/job_record.h"
#include "services/store/schema.h"
#include "services/store/sqlite.h"

namespace anamnesis::store {
namespace {

// --- the writer's statements

constexpr char kPutJob[] =
    "INSERT INTO jobs(id, body) VALUES(?1, ?2) ON CONFLICT(id) DO UPDATE SET body = excluded.body";
// The spec never changes: a job that has one keeps it, at the cost of a look-up.
constexpr char kPutSpec[] =
    "INSERT INTO job_specs(job, task, config_name, config_yaml, overrides, working_directory,"
    " resolved_json) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(job) DO NOTHING";
constexpr char kHasSpec[] = "SELECT 1 FROM job_specs WHERE job = ?1";
constexpr char kRaiseNextJobId[] =
    "UPDATE meta SET value = ?1 WHERE key = 'next_job_id' AND value < ?1";
constexpr char kPutTransition[] =
    "INSERT INTO transitions(job, number, time_us, from_state, to_state, reason, actor, epoch,"
    " message) VALUES(?1, 1 + IFNULL((SELECT MAX(number) FROM transitions WHERE job = ?1), 0),"
    " ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
constexpr char kPutCheckpoint[] =
    "INSERT OR REPLACE INTO checkpoints(job, step, epoch, path, sha256, commit_time_us)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
// A merged point moves to the end, so that a cursor behind it sees it again.
constexpr char kPutPoint[] =
    "INSERT INTO points(job, row, epoch, step, time_us, metrics)"
    " VALUES(?1, 1 + IFNULL((SELECT MAX(row) FROM points WHERE job = ?1), 0), ?2, ?3, ?4, ?5)"
    " ON CONFLICT(job, epoch, step) DO UPDATE SET row = excluded.row,"
    " time_us = excluded.time_us, metrics = json_patch(metrics, excluded.metrics)";

constexpr char kPutCordon[] =
    "INSERT OR REPLACE INTO cordon(id, drains, actor, message, time_us) VALUES(1, ?1, ?2, ?3, ?4)";
constexpr char kRemoveCordon[] = "DELETE FROM cordon";

// --- loading, and the reader's statements

constexpr char kLoadJobs[] =
    "SELECT id, body, job_specs.job IS NOT NULL, task, config_name, config_yaml, overrides,"
    " working_directory, resolved_json"
    " FROM jobs LEFT JOIN job_specs ON job_specs.job = jobs.id ORDER BY id";
constexpr char kLoadCordon[] = "SELECT drains, actor, message, time_us FROM cordon";
constexpr char kTransitions[] =
    "SELECT time_us, from_state, to_state, reason, actor, epoch, message, number"
    " FROM transitions WHERE job = ?1 ORDER BY number";
constexpr char kCheckpoints[] =
    "SELECT step, epoch, path, sha256, commit_time_us FROM checkpoints WHERE job = ?1"
    " ORDER BY step DESC, epoch DESC";
constexpr char kPoints[] =
    "SELECT row, epoch, step, time_us, metrics FROM points WHERE job = ?1 AND row > ?2"
    " ORDER BY row LIMIT ?3";

int64_t NumberOf(core::JobId id) { return static_cast<int64_t>(id); }

Status ReadJob(const std::string& path, const Row& row, core::Job* job) {
  const std::string source = Cat(path, ": jobs/", row.Int(0));
  ANAM_RETURN_IF_ERROR(ReadBody(row.Text(1), source, job));
  if (NumberOf(job->id) != row.Int(0)) {
    return DataLoss(source, ": key 'id' is ", NumberOf(job->id));
  }
  if (row.Int(2) == 0) return DataLoss(source, ": has no row in job_specs");
  job->spec.task = row.Text(3);
  job->spec.config_name = row.Text(4);
  job->spec.config_yaml = row.Text(5);
  ANAM_ASSIGN_OR_RETURN(job->spec.overrides, OverridesFromJson(row.Text(6), source));
  job->spec.working_directory = row.Text(7);
  job->resolved.spec_json = row.Text(8);
  return absl::OkStatus();
}

}  // namespace

struct Store::Connections {
  std::string path;

  // The statements go before their connection.
  Database writer;
  Statement begin, commit, rollback;
  Statement put_job, has_spec, put_spec, raise_next_job_id;
  Statement put_transition, put_checkpoint, put_point, put_cordon, remove_cordon;
  Statement load_jobs, load_cordon;

  std::mutex reader_mutex;  // guards what follows
  Database reader;
  Statement transitions, checkpoints, points;

  Status Prepare();
  Status PutJob(core::JobId id, const core::Job& job);
  Status PutRows(const Batch& batch);
};

Status Store::Connections::Prepare() {
  struct Entry {
    Database* database;
    Statement* statement;
    const char* sql;
  };
  for (const Entry& entry : {Entry{&writer, &begin, "BEGIN IMMEDIATE"},
                             {&writer, &commit, "COMMIT"},
                             {&writer, &rollback, "ROLLBACK"},
                             {&writer, &put_job, kPutJob},
                             {&writer, &has_spec, kHasSpec},
                             {&writer, &put_spec, kPutSpec},
                             {&writer, &raise_next_job_id, kRaiseNextJobId},
                             {&writer, &put_transition, kPutTransition},
                             {&writer, &put_checkpoint, kPutCheckpoint},
                             {&writer, &put_point, kPutPoint},
                             {&writer, &put_cordon, kPutCordon},
                             {&writer, &remove_cordon, kRemoveCordon},
                             {&writer, &load_jobs, kLoadJobs},
                             {&writer, &load_cordon, kLoadCordon},
                             {&reader, &transitions, kTransitions},
                             {&reader, &checkpoints, kCheckpoints},
                             {&reader, &points, kPoints}}) {
    StatusOr<Statement> statement = Statement::Prepare(entry.database->handle(), entry.sql);
    if (!statement.ok()) {
      // The statement is right: the file says version 1 and has other tables.
      if (statement.status().code() != absl::StatusCode::kInternal) return statement.status();
      return DataLoss(MessageOf(statement.status()), ": its tables are damaged");
    }
    *entry.statement = *std::move(statement);
  }
  return absl::OkStatus();
}

Status Store::Connections::PutJob(core::JobId id, const core::Job& job) {
  ANAM_CHECK(job.id == id);
  ANAM_RETURN_IF_ERROR(put_job.Run(NumberOf(id), BodyOf(job)));
  bool known = false;
  const auto found = [&](const Row&) {
    known = true;
    return absl::OkStatus();
  };
  ANAM_RETURN_IF_ERROR(has_spec.Query(found, NumberOf(id)));
  if (known) return absl::OkStatus();
  const core::JobSpec& spec = job.spec;
  ANAM_RETURN_IF_ERROR(put_spec.Run(NumberOf(id), spec.task, spec.config_name,
                                    spec.config_yaml.str(), OverridesToJson(spec.overrides),
                                    spec.working_directory, job.resolved.spec_json.str()));
  return raise_next_job_id.Run(NumberOf(id) + 1);
}

Status Store::Connections::PutRows(const Batch& batch) {
  for (const auto& [id, job] : batch.jobs) ANAM_RETURN_IF_ERROR(PutJob(id, *job));
  for (const auto& [id, transition] : batch.transitions) {
    ANAM_RETURN_IF_ERROR(
        put_transition.Run(NumberOf(id), MicrosOf(transition.time), core::NameOf(transition.from),
                           core::NameOf(transition.to), core::NameOf(transition.reason),
                           transition.actor, transition.epoch, transition.message));
  }
  for (const auto& [id, checkpoint] : batch.checkpoints) {
    ANAM_RETURN_IF_ERROR(put_checkpoint.Run(NumberOf(id), checkpoint.step, checkpoint.epoch,
                                            checkpoint.path, checkpoint.sha256,
                                            MicrosOf(checkpoint.commit_time)));
  }
  for (const auto& [id, point] : batch.points) {
    ANAM_RETURN_IF_ERROR(put_point.Run(NumberOf(id), point.epoch, point.step, MicrosOf(point.time),
                                       MetricsToJson(point.values)));
  }
  if (batch.cordon == nullptr) return absl::OkStatus();
  if (!batch.cordon->has_value()) return remove_cordon.Run();
  const core::Cordon& cordon = **batch.cordon;
  return put_cordon.Run(static_cast<int64_t>(cordon.drains), cordon.actor, cordon.message,
                        MicrosOf(cordon.time));
}

Store::Store(std::unique_ptr<Connections> connections) : connections_(std::move(connections)) {}
Store::~Store() = default;

StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path) {
  auto connections = std::make_unique<Connections>();
  connections->path = path;
  ANAM_ASSIGN_OR_RETURN(connections->writer, OpenForWriting(path));
  ANAM_ASSIGN_OR_RETURN(connections->reader, OpenForReading(path));
  ANAM_RETURN_IF_ERROR(connections->Prepare());
  return std::unique_ptr<Store>(new Store(std::move(connections)));
}

StatusOr<Loaded> Store::Load() {
  Connections& all = *connections_;
  Loaded loaded;
  ANAM_RETURN_IF_ERROR(all.load_jobs.Query(
      [&](const Row& row) { return ReadJob(all.path, row, &loaded.jobs.emplace_back()); }));
  ANAM_ASSIGN_OR_RETURN(loaded.next_job_id,
                        all.writer.QueryInt("SELECT value FROM meta WHERE key = 'next_job_id'"));
  ANAM_RETURN_IF_ERROR(all.load_cordon.Query([&](const Row& row) {
    loaded.cordon = core::Cordon{.drains = row.Int(0) != 0,
                                 .actor = row.Text(1),
                                 .message = row.Text(2),
                                 .time = TimeOf(row.Int(3))};
    return absl::OkStatus();
  }));
  const int64_t last = loaded.jobs.empty() ? 0 : NumberOf(loaded.jobs.back().id);
  if (loaded.next_job_id <= last) {
    return DataLoss(all.path, ": meta: next_job_id ", loaded.next_job_id, ", expected above ",
                    last);
  }
  return loaded;
}

Status Store::Write(const Batch& batch) {
  if (batch.empty()) return absl::OkStatus();
  Connections& all = *connections_;
  Status status = all.begin.Run();
  if (status.ok()) status = all.PutRows(batch);
  if (status.ok()) status = all.commit.Run();
  // Some errors end the transaction by themselves.
  if (!status.ok() && all.writer.in_transaction()) {
    const Status undone = all.rollback.Run();
    if (!undone.ok()) return AddContext(undone, Cat(MessageOf(status), "; cannot undo"));
  }
  return status;
}

StatusOr<std::vector<core::Transition>> Store::Transitions(core::JobId job) {
  Connections& all = *connections_;
  const std::lock_guard<std::mutex> lock(all.reader_mutex);
  std::vector<core::Transition> found;
  const auto read = [&](const Row& row) -> Status {
    core::Transition& transition = found.emplace_back();
    transition.time = TimeOf(row.Int(0));
    if (!FromName(row.Text(1), &transition.from) || !FromName(row.Text(2), &transition.to) ||
        !FromName(row.Text(3), &transition.reason)) {
      return DataLoss(all.path, ": jobs/", NumberOf(job), ": transition ", row.Int(7),
                      " has an unknown name");
    }
    transition.actor = row.Text(4);
    transition.epoch = row.Int(5);
    transition.message = row.Text(6);
    return absl::OkStatus();
  };
  ANAM_RETURN_IF_ERROR(all.transitions.Query(read, NumberOf(job)));
  return found;
}

StatusOr<std::vector<core::Checkpoint>> Store::Checkpoints(core::JobId job) {
  Connections& all = *connections_;
  const std::lock_guard<std::mutex> lock(all.reader_mutex);
  std::vector<core::Checkpoint> found;
  const auto read = [&](const Row& row) {
    found.push_back({.step = row.Int(0),
                     .epoch = row.Int(1),
                     .path = row.Text(2),
                     .sha256 = row.Text(3),
                     .commit_time = TimeOf(row.Int(4))});
    return absl::OkStatus();
  };
  ANAM_RETURN_IF_ERROR(all.checkpoints.Query(read, NumberOf(job)));
  return found;
}

StatusOr<std::vector<MetricPoint>> Store::Points(core::JobId job, int64_t after_row, int64_t limit,
                                                 int64_t* next) {
  Connections& all = *connections_;
  const std::lock_guard<std::mutex> lock(all.reader_mutex);
  std::vector<MetricPoint> found;
  int64_t last = after_row;
  const auto read = [&](const Row& row) -> Status {
    last = row.Int(0);
    MetricPoint& point = found.emplace_back();
    point.epoch = row.Int(1);
    point.step = row.Int(2);
    point.time = TimeOf(row.Int(3));
    ANAM_ASSIGN_OR_RETURN(
        point.values,
        MetricsFromJson(row.Text(4), Cat(all.path, ": jobs/", NumberOf(job), ": point ", last)));
    return absl::OkStatus();
  };
  ANAM_RETURN_IF_ERROR(
      all.points.Query(read, NumberOf(job), after_row, std::max<int64_t>(limit, 0)));
  *next = last;
  return found;
}

}  // namespace anamnesis::store
