// SPDX-License-Identifier: Apache-2.0
// Where an object store keeps things: s3://BUCKET/PREFIX. Who may read it is said elsewhere: a URL
// with a key in it is refused.
#pragma once

#include <string>

#include "common/base/status.h"

namespace anamnesis {

struct StoreUrl {
  std::string bucket;
  std::string prefix;  // without slashes at its ends; may be empty

  std::string key_path() const { return prefix.empty() ? bucket : bucket + "/" + prefix; }
};

// kInvalidArgument says what is expected.
StatusOr<StoreUrl> ParseStoreUrl(const std::string& url);

}  // namespace anamnesis
