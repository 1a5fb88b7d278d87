// SPDX-License-Identifier: Apache-2.0
// A disk under SQLite that counts flushes and fails on demand: the system's VFS with three calls
// replaced. One at a time.
#pragma once

#include <sqlite3.h>

#include <map>
#include <string_view>

#include "common/base/check.h"

namespace anamnesis::store {

class FaultyDisk {
 public:
  FaultyDisk() : system_(sqlite3_vfs_find(nullptr)), faulty_(*system_) {
    ANAM_CHECK(current_ == nullptr);
    current_ = this;
    faulty_.zName = "faulty";
    faulty_.xOpen = Open;
    sqlite3_vfs_register(&faulty_, /*makeDflt=*/1);
  }
  ~FaultyDisk() {
    sqlite3_vfs_unregister(&faulty_);
    sqlite3_vfs_register(system_, /*makeDflt=*/1);
    current_ = nullptr;
  }
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;

  // The `call`-th write or flush from now on fails once, with `code` (a flush: SQLITE_IOERR_FSYNC).
  void FailOnce(int call, int code) {
    fail_at_ = call;
    code_ = code;
  }
  bool failed() const { return fail_at_ == 0; }
  void FailWritesOfDatabase(bool fail) { fail_database_ = fail; }
  int num_wal_flushes() const { return num_wal_flushes_; }

 private:
  // The methods of one kind of file, with the originals behind them.
  struct Methods {
    sqlite3_io_methods replaced;  // first: found again from a file
    const sqlite3_io_methods* original;
    bool is_wal;
  };

  static int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
    sqlite3_vfs* system = current_->system_;
    const int code = system->xOpen(system, name, file, flags, out);
    if (code != SQLITE_OK || file->pMethods == nullptr) return code;
    const bool is_wal = (flags & SQLITE_OPEN_WAL) != 0;
    Methods& methods = current_->methods_[{file->pMethods, is_wal}];
    methods = {.replaced = *file->pMethods, .original = file->pMethods, .is_wal = is_wal};
    methods.replaced.xWrite = Write;
    methods.replaced.xSync = Sync;
    file->pMethods = &methods.replaced;
    return code;
  }
  static const Methods& Of(sqlite3_file* file) {
    return *reinterpret_cast<const Methods*>(file->pMethods);
  }
  bool Fails() { return fail_at_ > 0 && --fail_at_ == 0; }
  static int Write(sqlite3_file* file, const void* data, int size_bytes, sqlite3_int64 offset) {
    if (current_->Fails()) return current_->code_;
    if (current_->fail_database_ && !Of(file).is_wal) return SQLITE_IOERR_WRITE;
    return Of(file).original->xWrite(file, data, size_bytes, offset);
  }
  static int Sync(sqlite3_file* file, int flags) {
    if (current_->Fails()) return SQLITE_IOERR_FSYNC;
    if (Of(file).is_wal) ++current_->num_wal_flushes_;
    return Of(file).original->xSync(file, flags);
  }

  static inline FaultyDisk* current_ = nullptr;
  sqlite3_vfs* system_;
  sqlite3_vfs faulty_;
  std::map<std::pair<const sqlite3_io_methods*, bool>, Methods> methods_;
  int fail_at_ = -1;
  int code_ = SQLITE_OK;
  bool fail_database_ = false;
  int num_wal_flushes_ = 0;
};

}  // namespace anamnesis::store
