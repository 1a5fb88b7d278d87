// SPDX-License-Identifier: Apache-2.0
// HTTP by libcurl: HEAD, whole bodies, and bodies as a stream from an offset. http_proxy,
// https_proxy and no_proxy hold as libcurl reads them. A token goes to the host asked and to no
// other that a redirect names. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace anamnesis::hub {

struct HttpResponse {
  long status = 0;
  std::map<std::string, std::string> headers;  // of the last response; names in lower case
  std::string body;                            // of a stream: empty, or the text of an error

  // "" where the header is absent.
  const std::string& Header(const std::string& name) const;
};

class HttpClient {
 public:
  // `stop` is asked while a transfer runs; true ends it with kAborted.
  HttpClient(std::string token, std::function<bool()> stop);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // A response of any status is OK; kUnavailable is no whole response (name, connection, TLS, a
  // body cut short). Redirects are followed (at most five) by Get and Stream, by Head only to the
  // same host. A body of more than `most_bytes` is kResourceExhausted.
  StatusOr<HttpResponse> Get(const std::string& url, uint64_t most_bytes);
  StatusOr<HttpResponse> Head(const std::string& url);
  // Hands the body of a 200 or 206 to `sink` piece by piece; `offset` > 0 asks for the rest from
  // there (`Range`), and `start` is told before the first piece whether that was granted (206).
  StatusOr<HttpResponse> Stream(const std::string& url, uint64_t offset,
                                const std::function<Status(long status)>& start,
                                const std::function<Status(std::string_view)>& sink);

 private:
  struct Transfer;
  StatusOr<HttpResponse> Perform(const std::string& url, Transfer* transfer);

  void* curl_ = nullptr;  // CURL*
  std::string token_;
  std::function<bool()> stop_;
};

}  // namespace anamnesis::hub
