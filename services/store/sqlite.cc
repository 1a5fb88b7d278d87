// SPDX-License-Identifier: Apache-2.0
#include "services/store/sqlite.h"

#include <sqlite3.h>

#include <cerrno>

namespace anamnesis::store {
namespace {

constexpr int kBusyTimeoutMs = 1000;  // well below a lease

Status FullDisk(const std::string& path) {
  return ResourceExhausted(path,
                           ": the disk is full (or a quota or a limit of file sizes is reached): "
                           "nothing of this was stored; free space there");
}

Status Damaged(const std::string& path, const char* what) {
  return DataLoss(path, ": damaged: ", what,
                  "; move it and its -wal aside and put back a copy, or try `sqlite3 ", path,
                  " .recover`");
}

// The errno behind a failed write, or 0. A commit's is known to the file of the WAL alone.
int ErrnoOf(sqlite3* database, int code) {
  int error = sqlite3_system_errno(database);
  sqlite3_file* wal = nullptr;
  if (error == 0 && code == SQLITE_IOERR_WRITE &&
      sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) == SQLITE_OK &&
      wal != nullptr && wal->pMethods != nullptr) {
    wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &error);
  }
  return error;
}

}  // namespace

Status StatusOfSqlite(sqlite3* database, int code) {
  const char* name = sqlite3_db_filename(database, "main");
  const std::string path = name == nullptr || *name == '\0' ? "the store" : name;
  const int error = ErrnoOf(database, code);
  const std::string what = Cat(path, ": ", sqlite3_errmsg(database), " (SQLite ", code, ")");
  const auto with_cause = [&] { return error == 0 ? what : Cat(what, ": ", ErrnoText(error)); };
  switch (code & 0xff) {
    case SQLITE_FULL:
      return FullDisk(path);
    case SQLITE_NOMEM:
      return ResourceExhausted(what);
    case SQLITE_IOERR:
      if (code == SQLITE_IOERR_NOMEM) return ResourceExhausted(what);
      if (error == EFBIG || error == EDQUOT || error == ENOSPC) return FullDisk(path);
      return Unavailable(with_cause());
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Unavailable(what, ": another process holds it");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Damaged(path, sqlite3_errmsg(database));
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return PermissionDenied(what);
    case SQLITE_CANTOPEN:
      if (error == EACCES || error == EPERM || error == EROFS) {
        return PermissionDenied(with_cause());
      }
      return error == ENOENT ? NotFound(with_cause()) : Unavailable(with_cause());
    case SQLITE_CONSTRAINT:
      if (code == SQLITE_CONSTRAINT_UNIQUE) return AlreadyExists(what);
      return Internal(what);
    case SQLITE_TOOBIG:
      return InvalidArgument(what);
    default:
      return Internal(what);
  }
}

int64_t Row::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Row::Text(int column) const {
  const auto* text = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size_bytes = sqlite3_column_bytes(statement_, column);
  return text == nullptr ? "" : std::string(text, static_cast<size_t>(size_bytes));
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Statement::Reset::~Reset() {
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
}

StatusOr<Statement> Statement::Prepare(sqlite3* database, const char* sql) {
  sqlite3_stmt* handle = nullptr;
  const int code =
      sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  if (code != SQLITE_OK) return StatusOfSqlite(database, code);
  Statement statement;
  statement.handle_.reset(handle);
  return statement;
}

Status Statement::Bind(int index, int64_t value) {
  const int code = sqlite3_bind_int64(handle_.get(), index, value);
  if (code == SQLITE_OK) return absl::OkStatus();
  return StatusOfSqlite(sqlite3_db_handle(handle_.get()), code);
}

Status Statement::Bind(int index, std::string_view value) {
  // A null pointer would bind NULL.
  const char* data = value.data() == nullptr ? "" : value.data();
  const int code =
      sqlite3_bind_text64(handle_.get(), index, data, value.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (code == SQLITE_OK) return absl::OkStatus();
  return StatusOfSqlite(sqlite3_db_handle(handle_.get()), code);
}

Status Statement::Step(const OnRow& on_row) {
  while (true) {
    const int code = sqlite3_step(handle_.get());
    if (code == SQLITE_DONE) return absl::OkStatus();
    if (code != SQLITE_ROW) return StatusOfSqlite(sqlite3_db_handle(handle_.get()), code);
    if (on_row) ANAM_RETURN_IF_ERROR(on_row(Row(handle_.get())));
  }
}

void Database::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

StatusOr<Database> Database::Open(const std::string& path) {
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Database database;
  database.handle_.reset(handle);
  if (handle == nullptr) return ResourceExhausted(path, ": no memory to open it");
  if (code != SQLITE_OK) return AddContext(StatusOfSqlite(handle, code), path);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return database;
}

Status Database::Execute(const char* sql) {
  const int code = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : StatusOfSqlite(handle_.get(), code);
}

StatusOr<int64_t> Database::QueryInt(const char* sql) {
  ANAM_ASSIGN_OR_RETURN(Statement statement, Statement::Prepare(handle(), sql));
  int64_t value = 0;
  ANAM_RETURN_IF_ERROR(statement.Query([&](const Row& row) {
    value = row.Int(0);
    return absl::OkStatus();
  }));
  return value;
}

StatusOr<std::string> Database::QueryText(const char* sql) {
  ANAM_ASSIGN_OR_RETURN(Statement statement, Statement::Prepare(handle(), sql));
  std::string value;
  ANAM_RETURN_IF_ERROR(statement.Query([&](const Row& row) {
    value = row.Text(0);
    return absl::OkStatus();
  }));
  return value;
}

bool Database::in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }

}  // namespace anamnesis::store
