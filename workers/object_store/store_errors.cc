// SPDX-License-Identifier: Apache-2.0
#include "workers/object_store/store_errors.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace anamnesis::object_store {
namespace {

constexpr std::string_view kLine = "error: ";
constexpr size_t kLongest = 600;

bool HasAny(const std::string& text, std::initializer_list<const char*> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const char* part) { return text.find(part) != std::string::npos; });
}

// One line, of a length that a person reads.
std::string Shortened(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  if (text.size() > kLongest) text = text.substr(0, kLongest) + " ...";
  return text;
}

}  // namespace

Status StatusOfStoreError(const std::string& url, const std::string& text) {
  const std::string why = Shortened(text);
  if (HasAny(text, {"QuotaExceeded", "HTTP status 507", "StorageFull", "No space left",
                    "no space left", "quota exceeded"})) {
    return ResourceExhausted(url, ": No space left in the checkpoint store: ", why);
  }
  if (HasAny(text, {"checksums mismatch"})) {
    return DataLoss(url, ": damaged in the checkpoint store: ", why);
  }
  if (HasAny(text, {"ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH",
                    "INVALID_CLIENT_TOKEN_ID", "UNRECOGNIZED_CLIENT", "MISSING_AUTHENTICATION",
                    "EXPIRED_TOKEN", "InvalidAccessKeyId", "access key", "HTTP status 401",
                    "HTTP status 403"})) {
    return PermissionDenied(url,
                            ": the checkpoint store takes no such key (AWS_ACCESS_KEY_ID, "
                            "AWS_SECRET_ACCESS_KEY where the worker runs): ",
                            why);
  }
  if (HasAny(text, {"NO_SUCH_BUCKET", "NoSuchBucket", "RESOURCE_NOT_FOUND", "NO_SUCH_KEY",
                    "HTTP status 404", "Path does not exist"})) {
    return NotFound(url, ": not there: ", why);
  }
  return Unavailable(url, ": the checkpoint store does not answer as it should: ", why);
}

std::string ErrorLine(const Status& status) {
  return Cat(kLine, absl::StatusCodeToString(status.code()), ": ", MessageOf(status));
}

Status StatusOfLog(const std::string& log) {
  size_t end = log.size();
  while (end > 0) {
    const size_t newline = log.rfind('\n', end - 1);
    const size_t begin = newline == std::string::npos ? 0 : newline + 1;
    std::string_view line(log.data() + begin, end - begin);
    if (line.starts_with(kLine)) {
      line.remove_prefix(kLine.size());
      for (int code = 1; code <= 16; ++code) {
        const auto status_code = static_cast<absl::StatusCode>(code);
        const std::string name = absl::StatusCodeToString(status_code) + ": ";
        if (line.starts_with(name)) {
          const std::string message(line.substr(name.size()));
          return Status(status_code, message);
        }
      }
    }
    if (newline == std::string::npos) break;
    end = newline;
  }
  return Unavailable("anamnesis-store ended without a word");
}

}  // namespace anamnesis::object_store
