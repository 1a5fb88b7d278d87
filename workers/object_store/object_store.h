// SPDX-License-Identifier: Apache-2.0
// Folders of files in an S3-compatible object store, by Arrow's file system. Where it is and who
// asks comes from the usual variables: AWS_ENDPOINT_URL (http:// or https://), AWS_REGION,
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_CA_BUNDLE, or what else the AWS
// SDK looks for (profiles, the machine's role). Errors: store_errors.h. Thread-compatible.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::object_store {

class ObjectStore {
 public:
  // `on_progress` is called whenever the store has answered.
  static StatusOr<std::unique_ptr<ObjectStore>> Open(std::function<void()> on_progress);
  ~ObjectStore();
  ObjectStore(const ObjectStore&) = delete;
  ObjectStore& operator=(const ObjectStore&) = delete;

  // The files of a folder, manifest.json last; `record`, if not "", before it as .run.json.
  Status Put(const std::string& folder, const std::string& url, const std::string& record);
  // The objects right beneath `url` as files of a new folder, durably. kNotFound: there are none.
  Status Get(const std::string& url, const std::string& folder);
  // What lies right beneath `url`, sorted; nothing where nothing does. kNotFound: no such bucket.
  StatusOr<std::vector<std::string>> List(const std::string& url);
  // All beneath `url`. OK where there is nothing.
  Status Remove(const std::string& url);

 private:
  struct Parts;
  explicit ObjectStore(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace anamnesis::object_store
