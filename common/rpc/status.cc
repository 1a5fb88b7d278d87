// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/status.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/support/status.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

#include "common/config/field_violations.h"

namespace anamnesis::rpc {
namespace {

using config::FieldViolation;

constexpr std::string_view kUrlPrefix = "anamnesis.v1/";
constexpr char kRetryUrl[] = "anamnesis/retry_after_ms";
// gRPC refuses trailers above 8 KiB by default; the rest is for the other entries of the trailer.
constexpr size_t kTrailerBudgetBytes = 7 * 1024;
constexpr size_t kShortMessageBytes = 1024;

std::string MapCase(std::string_view text, int (*map)(int)) {
  std::string mapped(text);
  std::transform(mapped.begin(), mapped.end(), mapped.begin(),
                 [map](unsigned char c) { return static_cast<char>(map(c)); });
  return mapped;
}

// A typed detail: the payload that is not one of the two with a place of their own.
struct Detail {
  std::string reason;
  std::string value;
};

Detail DetailOf(const Status& status) {
  Detail detail;
  status.ForEachPayload([&](absl::string_view url_view, const absl::Cord& value) {
    const std::string_view url(url_view.data(), url_view.size());
    if (!url.starts_with(kUrlPrefix) || url == config::kFieldViolationsUrl || url == kRetryUrl) {
      return;
    }
    const std::string reason = MapCase(url.substr(kUrlPrefix.size()), std::toupper);
    if (!detail.reason.empty() && detail.reason <= reason) return;
    detail = {reason, std::string(value)};
  });
  return detail;
}

std::string CodeName(const Status& status) { return absl::StatusCodeToString(status.code()); }

std::optional<absl::Duration> DefaultRetryDelay(const Status& status) {
  if (const auto told = RetryDelayOf(status)) return told;
  if (status.code() == absl::StatusCode::kUnavailable) return absl::Seconds(1);
  if (status.code() == absl::StatusCode::kResourceExhausted) return absl::Seconds(10);
  return std::nullopt;
}

// What the text takes in the trailer: gRPC escapes all but printable ASCII.
size_t EscapedSize(std::string_view text) {
  size_t size = 0;
  for (const char c : text) size += c >= 0x20 && c <= 0x7e && c != '%' ? 1 : 3;
  return size;
}

// At most `limit` bytes after escaping, cut behind a line where one ends in the second half, else
// behind a whole character.
std::string CutText(const std::string& text, size_t limit) {
  if (EscapedSize(text) <= limit) return text;
  constexpr std::string_view kEllipsis = "…";
  size_t end = 0;
  for (size_t size = EscapedSize(kEllipsis); end < text.size(); ++end) {
    size += EscapedSize(std::string_view(text).substr(end, 1));
    if (size > limit) break;
  }
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  const size_t line = text.rfind('\n', end);
  if (line != std::string::npos && line > end / 2) end = line + 1;
  return Cat(text.substr(0, end), kEllipsis);
}

google::rpc::Status DetailsOf(const Status& status, const std::string& message,
                              const std::vector<FieldViolation>& violations, size_t num_violations,
                              const Detail& detail) {
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_domain(kErrorDomain);
  info.set_reason(detail.reason.empty() ? CodeName(status) : detail.reason);
  if (!detail.value.empty()) (*info.mutable_metadata())["detail"] = detail.value;
  details.add_details()->PackFrom(info);
  if (!violations.empty()) {
    google::rpc::BadRequest bad;
    const auto add = [&bad](const std::string& field, const std::string& description) {
      auto* violation = bad.add_field_violations();
      violation->set_field(field);
      violation->set_description(description);
    };
    for (size_t i = 0; i < num_violations; ++i) {
      add(violations[i].field, violations[i].description);
    }
    if (num_violations < violations.size()) {
      add("", Cat("and ", violations.size() - num_violations, " more problems"));
    }
    details.add_details()->PackFrom(bad);
  }
  if (const auto delay = DefaultRetryDelay(status)) {
    google::rpc::RetryInfo retry;
    const int64_t delay_ms = absl::ToInt64Milliseconds(*delay);
    retry.mutable_retry_delay()->set_seconds(delay_ms / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int>(delay_ms % 1000 * 1'000'000));
    details.add_details()->PackFrom(retry);
  }
  return details;
}

// In the trailer the details are base64.
size_t TrailerSize(const std::string& message, const google::rpc::Status& details) {
  return EscapedSize(message) + (details.ByteSizeLong() + 2) / 3 * 4;
}

// UTF-8 is what a proto string holds: other bytes become '?'.
std::string ValidUtf8(const std::string& text) {
  std::string valid;
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const size_t length = first < 0x80                    ? 1
                          : first >= 0xC2 && first < 0xE0 ? 2
                          : first >= 0xE0 && first < 0xF0 ? 3
                          : first >= 0xF0 && first < 0xF5 ? 4
                                                          : 0;
    bool whole = length > 0 && i + length <= text.size();
    for (size_t k = 1; whole && k < length; ++k) {
      whole = (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
    }
    valid += whole ? text.substr(i, length) : "?";
    i += whole ? length : 1;
  }
  return valid;
}

}  // namespace

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string message = ValidUtf8(MessageOf(status));
  Detail detail = DetailOf(status);
  detail.value = ValidUtf8(CutText(detail.value, kShortMessageBytes));
  std::vector<FieldViolation> violations = config::FieldViolationsOf(status);
  size_t kept = violations.size();
  google::rpc::Status details = DetailsOf(status, message, violations, kept, detail);
  if (TrailerSize(message, details) > kTrailerBudgetBytes) {
    // The text is sent once only; then it is cut, and what is left belongs to the violations.
    details = DetailsOf(status, "", violations, kept, detail);
    if (TrailerSize(message, details) > kTrailerBudgetBytes) {
      message = CutText(message, violations.empty() ? kTrailerBudgetBytes - TrailerSize("", details)
                                                    : kShortMessageBytes);
      while (kept > 0 && TrailerSize(message, details) > kTrailerBudgetBytes) {
        details = DetailsOf(status, "", violations, --kept, detail);
      }
    }
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      details.SerializeAsString());
}

bool IsFromServer(const grpc::Status& status) {
  google::rpc::Status details;
  return !status.error_details().empty() && details.ParseFromString(status.error_details()) &&
         details.code() == static_cast<int>(status.error_code());
}

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string text = status.error_message();
  google::rpc::Status details;
  const bool known = IsFromServer(status) && details.ParseFromString(status.error_details());
  Status made(static_cast<absl::StatusCode>(status.error_code()),
              known && !details.message().empty() ? details.message() : text);
  if (!known) return made;
  std::vector<FieldViolation> violations;
  for (const google::protobuf::Any& any : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info) && info.domain() == kErrorDomain && info.reason() != CodeName(made)) {
      const auto value = info.metadata().find("detail");
      made.SetPayload(Cat(kUrlPrefix, MapCase(info.reason(), std::tolower)),
                      absl::Cord(value == info.metadata().end() ? "" : value->second));
    } else if (any.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) {
        violations.push_back({violation.field(), violation.description()});
      }
    } else if (any.UnpackTo(&retry)) {
      const int64_t delay_ms =
          retry.retry_delay().seconds() * 1000 + retry.retry_delay().nanos() / 1'000'000;
      made.SetPayload(kRetryUrl, absl::Cord(std::to_string(delay_ms)));
    }
  }
  return config::WithFieldViolations(std::move(made), violations);
}

std::optional<absl::Duration> RetryDelayOf(const Status& status) {
  const auto payload = status.GetPayload(kRetryUrl);
  if (!payload.has_value()) return std::nullopt;
  const std::string text(*payload);
  if (text.empty() || text.size() > 15 ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  return absl::Milliseconds(std::stoll(text));
}

std::string ReasonOf(const Status& status) {
  const Detail detail = DetailOf(status);
  return detail.reason.empty() ? CodeName(status) : detail.reason;
}

}  // namespace anamnesis::rpc
