// SPDX-License-Identifier: Apache-2.0
// One file of a repository on its way into the cache's blobs. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "common/hub/http.h"

namespace anamnesis::hub {

// What the hub says of a file before it is fetched.
struct BlobInfo {
  std::string etag;                    // the blob's name
  std::optional<uint64_t> size_bytes;  // nothing where the hub does not say
  bool has_sha256() const { return etag.size() == 64; }
};

// From the answer to HEAD. kUnavailable where it has no usable etag.
StatusOr<BlobInfo> BlobInfoOf(const HttpResponse& response, const std::string& url);

// Fetches `url` into `path` by way of path.incomplete, from its end on when there is one. Adds the
// bytes received to `fetched_bytes`. kDataLoss when size or SHA-256 do not fit: the incomplete file
// is removed then, otherwise it stays for the next attempt. The response of a refusal is returned.
StatusOr<HttpResponse> FetchBlob(HttpClient* http, const std::string& url, const BlobInfo& info,
                                 const std::string& path,
                                 const std::function<void(uint64_t done)>& progress,
                                 uint64_t* fetched_bytes);

}  // namespace anamnesis::hub
