// SPDX-License-Identifier: Apache-2.0
#include "common/hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace anamnesis::hub {
namespace {

constexpr long kMaxRedirects = 5, kConnectSeconds = 15, kStalledSeconds = 60;
constexpr uint64_t kMaxErrorBytes = 64 << 10;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

// scheme://host[:port]
std::string OriginOf(const std::string& url) {
  const size_t host = url.find("://");
  return host == std::string::npos ? "" : url.substr(0, url.find('/', host + 3));
}

bool IsRedirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

const std::string& HttpResponse::Header(const std::string& name) const {
  static const std::string none;
  const auto found = headers.find(name);
  return found == headers.end() ? none : found->second;
}

struct HttpClient::Transfer {
  CURL* curl = nullptr;
  HttpResponse response;
  bool head = false;
  bool follow = true;
  uint64_t offset = 0;
  uint64_t most_bytes = kMaxErrorBytes;
  const std::function<Status(long)>* start = nullptr;
  const std::function<Status(std::string_view)>* sink = nullptr;
  const std::function<bool()>* stop = nullptr;
  bool started = false;
  Status status;

  static size_t OnHeader(char* data, size_t size, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    const std::string_view line(data, size * count);
    if (line.starts_with("HTTP/")) transfer->response.headers.clear();
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return line.size();
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    while (!value.empty() && static_cast<unsigned char>(value.back()) <= ' ')
      value.remove_suffix(1);
    transfer->response.headers[name] = std::string(value);
    return line.size();
  }

  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    const std::string_view piece(data, size * count);
    return transfer->Take(piece) ? piece.size() : CURL_WRITEFUNC_ERROR;
  }

  bool Take(std::string_view piece) {
    long code = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    if (sink != nullptr && (code == 200 || code == 206)) {
      if (!started) status = (*start)(code);
      started = true;
      if (status.ok()) status = (*sink)(piece);
      return status.ok();
    }
    if (sink != nullptr || code >= 400) {  // the text of an error: as much as helps
      response.body += piece.substr(
          0, kMaxErrorBytes - std::min<uint64_t>(kMaxErrorBytes, response.body.size()));
      return true;
    }
    if (response.body.size() + piece.size() > most_bytes) {
      status = ResourceExhausted("the answer has more than ", most_bytes, " bytes");
      return false;
    }
    response.body += piece;
    return true;
  }

  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    auto* transfer = static_cast<Transfer*>(self);
    return *transfer->stop && (*transfer->stop)() ? 1 : 0;
  }
};

HttpClient::HttpClient(std::string token, std::function<bool()> stop)
    : token_(std::move(token)), stop_(std::move(stop)) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  curl_ = curl_easy_init();
}

HttpClient::~HttpClient() { curl_easy_cleanup(static_cast<CURL*>(curl_)); }

StatusOr<HttpResponse> HttpClient::Get(const std::string& url, uint64_t most_bytes) {
  Transfer transfer;
  transfer.most_bytes = most_bytes;
  return Perform(url, &transfer);
}

StatusOr<HttpResponse> HttpClient::Head(const std::string& url) {
  std::string at = url;
  for (long i = 0; i <= kMaxRedirects; ++i) {
    Transfer transfer;
    transfer.head = true;
    transfer.follow = false;
    ANAM_ASSIGN_OR_RETURN(HttpResponse response, Perform(at, &transfer));
    const std::string& location = response.Header("location");
    // Large files: what is asked for stands beside the redirect to where the content is.
    if (!response.Header("x-linked-etag").empty()) return response;
    if (!IsRedirect(response.status) || location.empty()) return response;
    if (location.front() == '/' && !location.starts_with("//")) {
      at = OriginOf(at) + location;
    } else if (OriginOf(location) == OriginOf(at)) {
      at = location;
    } else {
      return response;
    }
  }
  return Unavailable(url, ": more than ", kMaxRedirects, " redirects");
}

StatusOr<HttpResponse> HttpClient::Stream(const std::string& url, uint64_t offset,
                                          const std::function<Status(long)>& start,
                                          const std::function<Status(std::string_view)>& sink) {
  Transfer transfer;
  transfer.offset = offset;
  transfer.start = &start;
  transfer.sink = &sink;
  ANAM_ASSIGN_OR_RETURN(HttpResponse response, Perform(url, &transfer));
  // A body without a byte has had no first piece.
  if (!transfer.started && (response.status == 200 || response.status == 206)) {
    ANAM_RETURN_IF_ERROR(start(response.status));
  }
  return response;
}

StatusOr<HttpResponse> HttpClient::Perform(const std::string& url, Transfer* transfer) {
  CURL* curl = static_cast<CURL*>(curl_);
  if (curl == nullptr) return Internal("libcurl cannot be set up");
  curl_easy_reset(curl);
  transfer->curl = curl;
  transfer->stop = &stop_;
  char text[CURL_ERROR_SIZE] = "";
  HeaderList headers;
  if (!token_.empty()) {
    headers.reset(curl_slist_append(nullptr, ("Authorization: Bearer " + token_).c_str()));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  }
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "anamnesis");
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  // A redirect from https to http would give the content to everybody on the way.
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR,
                   url.starts_with("https://") ? "https" : "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, transfer->follow ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  curl_easy_setopt(curl, CURLOPT_NOBODY, transfer->head ? 1L : 0L);
  if (transfer->offset > 0) {
    curl_easy_setopt(curl, CURLOPT_RANGE, Cat(transfer->offset, "-").c_str());
  }
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Transfer::OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &transfer->response.status);
  if (!transfer->status.ok()) return transfer->status;
  if (code == CURLE_ABORTED_BY_CALLBACK) return Aborted(url, ": stopped");
  if (code != CURLE_OK) {
    return Unavailable(url, ": ", text[0] != '\0' ? text : curl_easy_strerror(code));
  }
  return std::move(transfer->response);
}

}  // namespace anamnesis::hub
