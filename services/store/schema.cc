// SPDX-License-Identifier: Apache-2.0
#include "services/store/schema.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <iterator>

#include "common/io/file.h"

namespace anamnesis::store {
namespace {

constexpr int64_t kApplicationId = 0x414E414D;  // "ANAM"
constexpr mode_t kMode = 0600;
constexpr int64_t kLeastPageBytes = 512;

constexpr char kSchema[] = R"sql(
BEGIN;
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('next_job_id', 1);
CREATE TABLE jobs(
  id INTEGER PRIMARY KEY,
  body TEXT NOT NULL,
  state TEXT GENERATED ALWAYS AS (json_extract(body, '$.state')) VIRTUAL,
  request_id TEXT GENERATED ALWAYS AS (json_extract(body, '$.request_id')) VIRTUAL,
  output_dir TEXT GENERATED ALWAYS AS (json_extract(body, '$.output_dir')) VIRTUAL,
  display_name TEXT GENERATED ALWAYS AS (json_extract(body, '$.display_name')) VIRTUAL,
  project TEXT GENERATED ALWAYS AS (json_extract(body, '$.project')) VIRTUAL,
  create_time_us INTEGER GENERATED ALWAYS AS (json_extract(body, '$.create_time_us')) VIRTUAL,
  update_time_us INTEGER GENERATED ALWAYS AS (json_extract(body, '$.update_time_us')) VIRTUAL
) STRICT;
CREATE UNIQUE INDEX jobs_request_id ON jobs(request_id) WHERE request_id <> '';
CREATE TABLE job_specs(
  job INTEGER PRIMARY KEY REFERENCES jobs(id) ON DELETE CASCADE,
  task TEXT NOT NULL,
  config_name TEXT NOT NULL,
  config_yaml TEXT NOT NULL,
  overrides TEXT NOT NULL,
  working_directory TEXT NOT NULL,
  resolved_json TEXT NOT NULL
) STRICT;
CREATE TABLE transitions(
  job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  time_us INTEGER NOT NULL,
  from_state TEXT NOT NULL,
  to_state TEXT NOT NULL,
  reason TEXT NOT NULL,
  actor TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY(job, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints(
  job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
  step INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  commit_time_us INTEGER NOT NULL,
  PRIMARY KEY(job, step, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE points(
  job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
  row INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  step INTEGER NOT NULL,
  time_us INTEGER NOT NULL,
  metrics TEXT NOT NULL,
  PRIMARY KEY(job, row),
  UNIQUE(job, epoch, step)
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 0x414E414D;
PRAGMA user_version = 1;
COMMIT;
PRAGMA journal_mode = WAL;
)sql";

// From version i + 1 to i + 2. A body that is no JSON is left to Load, which names it.
constexpr const char* kSteps[] = {
    "UPDATE jobs SET body = json_insert(body, '$.after', NULL) WHERE json_valid(body);",
    "UPDATE jobs SET body = json_insert(body, '$.wandb_folder', '', '$.evaluation', json('{}'),"
    " '$.progress.train_seconds', 0.0, '$.progress.evaluation_seconds', 0.0,"
    " '$.data', json('{\"medical_coverage\":null,\"lab_coverage\":null,"
    "\"truncated_token_share\":null,\"train_documents\":0,\"class_shares\":[]}'))"
    " WHERE json_valid(body);",
    "UPDATE jobs SET body = json_set(body, '$.attempts', (SELECT"
    " json_group_array(json_insert(json(value), '$.nodes', 1, '$.worker.handle', ''))"
    " FROM json_each(body, '$.attempts'))) WHERE json_valid(body);",
    "CREATE TABLE cordon(id INTEGER PRIMARY KEY CHECK(id = 1), drains INTEGER NOT NULL,"
    " actor TEXT NOT NULL, message TEXT NOT NULL, time_us INTEGER NOT NULL) STRICT;",
};
constexpr int64_t kVersion = 1 + static_cast<int64_t>(std::size(kSteps));

std::string FolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

Status SystemError(const std::string& path, const char* operation, int error) {
  const std::string text = Cat(path, ": cannot ", operation, ": ", ErrnoText(error));
  if (error == ENOENT || error == ENOTDIR) return NotFound(text);
  if (error == EACCES || error == EPERM || error == EROFS) return PermissionDenied(text);
  if (error == ENOSPC || error == EDQUOT) return ResourceExhausted(text);
  return Unavailable(text);
}

// Under another name first: a database that is there has its tables, so an empty file is damage.
Status Make(const std::string& path) {
  if (PathExists(path + "-wal")) {
    return DataLoss(path, ": missing, but ", path,
                    "-wal is there: put the database back beside it, or move it away");
  }
  const std::string fresh = path + ".new";
  for (const char* end : {"", "-wal", "-shm", "-journal"}) {
    if (::unlink((fresh + end).c_str()) != 0 && errno != ENOENT) {
      return SystemError(fresh + end, "remove", errno);
    }
  }
  {
    const FileDescriptor file(
        ::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kMode));
    if (!file.valid()) return SystemError(fresh, "make", errno);
    if (::fchmod(file.get(), kMode) != 0) return SystemError(fresh, "set the mode of", errno);
  }
  {
    ANAM_ASSIGN_OR_RETURN(Database database, Database::Open(fresh));
    ANAM_RETURN_IF_ERROR(database.Execute("PRAGMA synchronous = FULL"));
    ANAM_RETURN_IF_ERROR(database.Execute(kSchema));
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return SystemError(path, "make", errno);
  return SyncDirectory(FolderOf(path));
}

Status CutOff(const std::string& path, int64_t size_bytes) {
  return DataLoss(path, ": damaged: cut off at byte ", size_bytes,
                  "; move it and its -wal aside and put back a copy");
}

// Before SQLite sees it: it takes a file without a header for a new database.
Status CheckFile(const std::string& path, const struct stat& file) {
  if (!S_ISREG(file.st_mode)) return InvalidArgument(path, ": not a file");
  if (file.st_size < kLeastPageBytes) return CutOff(path, file.st_size);
  // Before -wal and -shm are made with the same mode. Not by a descriptor: closing one drops
  // the locks of other connections of this process.
  if ((file.st_mode & 077) != 0 && ::chmod(path.c_str(), kMode) != 0) {
    return SystemError(path, "set the mode of", errno);
  }
  return absl::OkStatus();
}

Status CheckVersion(const std::string& path, Database& database) {
  ANAM_ASSIGN_OR_RETURN(const int64_t application, database.QueryInt("PRAGMA application_id"));
  if (application != kApplicationId) {
    return FailedPrecondition(path, ": application id ", application, " is not anamnesis' ",
                              kApplicationId, ": it belongs to another program");
  }
  ANAM_ASSIGN_OR_RETURN(const int64_t version, database.QueryInt("PRAGMA user_version"));
  if (version > kVersion) {
    return FailedPrecondition(path, ": version ", version, " is newer than ", kVersion,
                              ": use the release of anamnesis that wrote it, or a newer one");
  }
  if (version >= 1) return absl::OkStatus();
  return DataLoss(path, ": version ", version, ", expected 1 to ", kVersion);
}

// Each step whole or not at all. A new database goes the same way.
Status Upgrade(Database& database) {
  ANAM_ASSIGN_OR_RETURN(const int64_t found, database.QueryInt("PRAGMA user_version"));
  for (int64_t version = found; version < kVersion; ++version) {
    const std::string step = Cat("BEGIN IMMEDIATE;", kSteps[version - 1],
                                 "PRAGMA user_version = ", version + 1, ";COMMIT;");
    if (const Status status = database.Execute(step.c_str()); !status.ok()) {
      (void)database.Execute("ROLLBACK");
      return status;
    }
  }
  return absl::OkStatus();
}

// `size_bytes`: of the file as it was found, or -1 where a WAL may hold what it lacks.
Status CheckPages(const std::string& path, int64_t size_bytes, Database& database) {
  ANAM_ASSIGN_OR_RETURN(const int64_t page_bytes, database.QueryInt("PRAGMA page_size"));
  if (size_bytes >= 0 && size_bytes % page_bytes != 0) return CutOff(path, size_bytes);
  ANAM_ASSIGN_OR_RETURN(const std::string found, database.QueryText("PRAGMA quick_check(1)"));
  if (found == "ok") return absl::OkStatus();
  return DataLoss(path, ": damaged: ", found, "; move it and its -wal aside and put back a copy, ",
                  "or try `sqlite3 ", path, " .recover`");
}

Status Configure(const std::string& path, Database& database) {
  if (sqlite3_db_readonly(database.handle(), "main") == 1) {
    return PermissionDenied(path, ": not writable for this user");
  }
  ANAM_ASSIGN_OR_RETURN(const std::string mode, database.QueryText("PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return FailedPrecondition(path, ": journal mode ", mode, ", expected wal: its file system has ",
                              "no shared memory; use a local disk");
  }
  return database.Execute(
      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
      "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA wal_autocheckpoint = 1000;"
      "PRAGMA journal_size_limit = 16777216");
}

}  // namespace

StatusOr<Database> OpenForWriting(const std::string& path) {
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) {
    if (errno != ENOENT) return SystemError(path, "open", errno);
    ANAM_RETURN_IF_ERROR(Make(path));
    if (::stat(path.c_str(), &file) != 0) return SystemError(path, "open", errno);
  }
  ANAM_RETURN_IF_ERROR(CheckFile(path, file));
  const StatusOr<uint64_t> wal_bytes = FileSize(path + "-wal");
  const bool has_wal = wal_bytes.ok() && *wal_bytes > 0;
  ANAM_ASSIGN_OR_RETURN(Database database, Database::Open(path));
  ANAM_RETURN_IF_ERROR(CheckVersion(path, database));
  ANAM_RETURN_IF_ERROR(Configure(path, database));
  ANAM_RETURN_IF_ERROR(CheckPages(path, has_wal ? -1 : file.st_size, database));
  ANAM_RETURN_IF_ERROR(AddContext(Upgrade(database), path));
  return database;
}

StatusOr<Database> OpenForReading(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(Database database, Database::Open(path));
  ANAM_RETURN_IF_ERROR(Configure(path, database));
  ANAM_RETURN_IF_ERROR(database.Execute("PRAGMA query_only = ON"));
  return database;
}

}  // namespace anamnesis::store
