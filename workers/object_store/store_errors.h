// SPDX-License-Identifier: Apache-2.0
// What an object store's error means to who waits for it, and the line in which anamnesis-store
// says it to the worker.
#pragma once

#include <string>

#include "common/base/status.h"

namespace anamnesis::object_store {

// From the text of Arrow's S3 file system, "... AWS Error NAME during OPERATION operation: ...":
// kResourceExhausted (full, a quota), kPermissionDenied (keys), kNotFound (bucket), kDataLoss (the
// store's checksum is not that of what it sent), kUnavailable
// (all that another try may mend, unknown errors too).
Status StatusOfStoreError(const std::string& url, const std::string& text);

// "error: CODE: message".
std::string ErrorLine(const Status& status);
// The status of the last such line of a log; kUnavailable where there is none.
Status StatusOfLog(const std::string& log);

}  // namespace anamnesis::object_store
