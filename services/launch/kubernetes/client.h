// SPDX-License-Identifier: Apache-2.0
// ApiClient: requests to the API server by libcurl, many at a time on one thread: what was asked
// proceeds within Run, which calls the answers' callbacks. No more than so many requests a second;
// a server that is busy (429, 503) is asked again after the time that it names. The token is read
// anew for each request, as the kubelet replaces it. Thread-compatible; Wake may be called by any
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/status.h"

namespace anamnesis::launch {

struct ApiAccess {
  std::string server;                                // https://HOST:PORT
  std::string token_file, ca_file;                   // "": none, the system's certificates
  absl::Duration deadline = absl::Seconds(15);       // of one request
  absl::Duration busy_patience = absl::Seconds(30);  // of a server that asks to wait
  int64_t requests_per_second = 20;
};

struct ApiRequest {
  std::string method = "GET";
  std::string path;  // with its query
  std::string body = {}, content_type = {};
};

enum class ApiProblem {
  kNone,
  kUnreachable,   // no answer: name, connection, TLS, deadline
  kUnauthorized,  // 401: the token is not valid, or no more
  kForbidden,     // 403: no permission; a quota that is used up has reason Forbidden too
  kNotFound,      // 404
  kConflict,      // 409
  kGone,          // 410
  kInvalid,       // 400, 422: the object is wrong
  kBusy,          // 429, 503
  kServer,        // other 5xx, or what is no answer of an API server
};

struct ApiAnswer {
  long status = 0;  // 0: none
  std::string body = {};
  std::string error = {};  // why there is no answer
  int64_t retry_after_seconds = 0;

  ApiProblem problem() const;
  // The API server's own words, or why there are none; one bounded line.
  std::string words() const;
};

class ApiClient {
 public:
  static constexpr size_t kMostAnswerBytes = 64 << 20;
  using OnAnswer = std::function<void(const ApiAnswer&)>;
  // False ends the stream.
  using OnBytes = std::function<bool(std::string_view)>;

  ApiClient(ApiAccess access, const Clock& clock);
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  // Answered within Run, once. Never calls back at once.
  void Ask(ApiRequest request, OnAnswer on_answer);
  // A watch: bytes of a 200 go to `on_bytes` (first none, when it is granted), its end to
  // `on_answer` (an answer of 200 without body). Ends, as unreachable, after `silence` without a
  // byte.
  void Stream(ApiRequest request, absl::Duration silence, OnBytes on_bytes, OnAnswer on_answer);

  // Lets transfers proceed until something was answered or received, Wake was called or `at_most`
  // is over.
  void Run(absl::Duration at_most);
  void Wake();

  int64_t num_requests() const { return num_requests_; }  // sent so far, watches too
  bool idle() const { return waiting_.empty() && active_.empty(); }

 private:
  struct Transfer;
  struct Waiting {
    std::unique_ptr<Transfer> transfer;
    absl::Duration not_before;  // monotonic
  };
  void Enqueue(std::unique_ptr<Transfer> transfer, absl::Duration not_before);
  void StartWaiting();
  void Begin(std::unique_ptr<Transfer> transfer);
  void End(void* easy, int code);
  absl::Duration UntilNextStart() const;

  const ApiAccess access_;
  const Clock& clock_;
  void* multi_ = nullptr;  // CURLM*
  std::deque<Waiting> waiting_;
  std::map<void*, std::unique_ptr<Transfer>> active_;  // by CURL*
  double allowance_;                                   // requests that may be sent now
  absl::Duration allowance_time_;
  std::atomic<int64_t> num_requests_ = 0;
};

}  // namespace anamnesis::launch
