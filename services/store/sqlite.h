// SPDX-License-Identifier: Apache-2.0
// SQLite as values: a connection, its prepared statements, and its errors as statuses. A Database
// and its Statements belong to one thread at a time. Texts name the file and never a bound value.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace anamnesis::store {

// What an error of SQLite means to the caller: kResourceExhausted (the disk is full, no memory),
// kUnavailable (I/O error, locked by another process), kDataLoss (damaged), kPermissionDenied,
// kAlreadyExists (a unique index), else kInternal.
Status StatusOfSqlite(sqlite3* database, int code);

// The row a query stands on. Its columns have the types of STRICT tables.
class Row {
 public:
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t Int(int column) const;
  std::string Text(int column) const;

 private:
  sqlite3_stmt* statement_;
};

class Statement {
 public:
  using OnRow = std::function<Status(const Row&)>;

  Statement() = default;
  // Prepares `sql`, kept for many runs.
  static StatusOr<Statement> Prepare(sqlite3* database, const char* sql);

  // Binds `values` (int64_t or text) to the ?s in their order and runs to the end.
  template <typename... Values>
  Status Run(const Values&... values) {
    return Query(OnRow(), values...);
  }
  // The same, with `on_row` for each row; its error ends the query and is returned.
  template <typename... Values>
  Status Query(const OnRow& on_row, const Values&... values) {
    const Reset reset{handle_.get()};
    int index = 0;
    Status status;
    (void)((status = Bind(++index, values), status.ok()) && ...);
    if (!status.ok()) return status;
    return Step(on_row);
  }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  // Ends the run however it is left: an open read would hold back checkpoints of the WAL.
  struct Reset {
    sqlite3_stmt* statement;
    ~Reset();
  };

  Status Bind(int index, int64_t value);
  Status Bind(int index, std::string_view value);  // not copied: lives until the run ends
  Status Step(const OnRow& on_row);

  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

class Database {
 public:
  Database() = default;
  // Opens an existing file; nothing is read yet.
  static StatusOr<Database> Open(const std::string& path);

  // Runs statements that return nothing.
  Status Execute(const char* sql);
  // The first column of the first row of `sql`.
  StatusOr<int64_t> QueryInt(const char* sql);
  StatusOr<std::string> QueryText(const char* sql);
  bool in_transaction() const;
  sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace anamnesis::store
