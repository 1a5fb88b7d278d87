// SPDX-License-Identifier: Apache-2.0
#include "common/io/store_url.h"

#include <algorithm>
#include <string_view>

namespace anamnesis {
namespace {

constexpr std::string_view kScheme = "s3://";

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// The names that every S3-compatible store takes.
bool IsBucketName(std::string_view name) {
  return name.size() >= 3 && name.size() <= 63 && IsLowerOrDigit(name.front()) &&
         IsLowerOrDigit(name.back()) && std::all_of(name.begin(), name.end(), [](char c) {
           return IsLowerOrDigit(c) || c == '-' || c == '.';
         });
}

// A part of a key that needs no quoting anywhere.
bool IsSegment(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.' ||
                  c == '=';
         });
}

}  // namespace

StatusOr<StoreUrl> ParseStoreUrl(const std::string& url) {
  constexpr char kExpected[] =
      "expected s3://BUCKET or s3://BUCKET/PREFIX of letters, digits and - _ . = alone; the "
      "endpoint and the keys come in the AWS_... variables";
  std::string_view rest = url;
  // What is wrong is not repeated: it may be a key.
  if (!rest.starts_with(kScheme)) return InvalidArgument("not an s3:// URL: ", kExpected);
  rest.remove_prefix(kScheme.size());
  const size_t slash = rest.find('/');
  StoreUrl parsed;
  parsed.bucket = rest.substr(0, slash);
  if (!IsBucketName(parsed.bucket)) return InvalidArgument("not a bucket's name: ", kExpected);
  if (slash == std::string_view::npos) return parsed;
  rest.remove_prefix(slash + 1);
  if (rest.size() > 1 && rest.ends_with('/')) rest.remove_suffix(1);
  parsed.prefix = rest;
  while (!rest.empty()) {
    const size_t end = rest.find('/');
    if (!IsSegment(rest.substr(0, end))) return InvalidArgument("not a prefix: ", kExpected);
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
    if (rest.empty()) return InvalidArgument("not a prefix: ", kExpected);
  }
  return parsed;
}

}  // namespace anamnesis
