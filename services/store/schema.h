// SPDX-License-Identifier: Apache-2.0
// The database file: made whole, or opened and checked. The tables of docs/formats/store.md.
#pragma once

#include <string>

#include "services/store/sqlite.h"

namespace anamnesis::store {

// The connection that writes; makes the file when there is none. Errors as Store::Open.
StatusOr<Database> OpenForWriting(const std::string& path);
// A connection that only reads, beside the one that writes.
StatusOr<Database> OpenForReading(const std::string& path);

}  // namespace anamnesis::store
