// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "common/io/file.h"
#include "services/launch/kubernetes/object.h"

namespace anamnesis::launch {
namespace {

constexpr long kConnectSeconds = 5;
constexpr size_t kMostErrorBytes = 64 << 10;
constexpr size_t kMostActive = 16;
constexpr int64_t kMostRetryAfterSeconds = 30;

struct FreeHeaders {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string WithoutEnd(std::string text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  return text;
}

}  // namespace

ApiProblem ApiAnswer::problem() const {
  switch (status) {
    case 0:
      return ApiProblem::kUnreachable;
    case 400:
    case 422:
      return ApiProblem::kInvalid;
    case 401:
      return ApiProblem::kUnauthorized;
    case 403:
      return ApiProblem::kForbidden;
    case 404:
      return ApiProblem::kNotFound;
    case 409:
      return ApiProblem::kConflict;
    case 410:
      return ApiProblem::kGone;
    case 429:
    case 503:
      return ApiProblem::kBusy;
    default:
      return status >= 200 && status < 300 ? ApiProblem::kNone : ApiProblem::kServer;
  }
}

std::string ApiAnswer::words() const {
  if (status == 0) return error;
  const ApiStatus said = ApiStatusOfBody(body);
  switch (problem()) {
    case ApiProblem::kNone:
      return "";
    case ApiProblem::kUnauthorized:
      return Cat(
          "401: the API server does not accept the token of the service account: expired, "
          "or of another cluster (",
          said.message, ")");
    default:
      return Cat(status, ": ", said.message.empty() ? "without a word" : said.message);
  }
}

struct ApiClient::Transfer {
  ApiRequest request;
  OnAnswer on_answer;
  OnBytes on_bytes;  // of a stream
  absl::Duration silence;
  absl::Duration give_up;  // monotonic: a busy server is not asked again after it
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy{nullptr, &curl_easy_cleanup};
  std::unique_ptr<curl_slist, FreeHeaders> headers;
  char text[CURL_ERROR_SIZE] = "";
  ApiAnswer answer = {};
  bool received = false;  // since Run looked last
  bool ended = false;     // by on_bytes
  bool too_large = false;

  // Of a watch the first bytes may come late; that it was granted is told at once.
  static size_t OnHeader(char* data, size_t size, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    const std::string_view line(data, size * count);
    const bool last = line == "\r\n" || line == "\n";
    return !last || transfer->Take("") ? line.size() : CURL_WRITEFUNC_ERROR;
  }
  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    const std::string_view piece(data, size * count);
    return transfer->Take(piece) ? piece.size() : CURL_WRITEFUNC_ERROR;
  }
  bool Take(std::string_view piece) {
    long code = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &code);
    received = true;
    if (on_bytes && code == 200) {
      ended = !on_bytes(piece);
      return !ended;
    }
    const size_t most = code >= 300 ? kMostErrorBytes : kMostAnswerBytes;
    if (answer.body.size() + piece.size() > most) {
      if (code >= 300) return true;  // enough of an error's text
      too_large = true;
      return false;
    }
    answer.body += piece;
    return true;
  }
};

ApiClient::ApiClient(ApiAccess access, const Clock& clock)
    : access_(std::move(access)),
      clock_(clock),
      allowance_(static_cast<double>(access_.requests_per_second)),
      allowance_time_(clock.Monotonic()) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  multi_ = curl_multi_init();
}

ApiClient::~ApiClient() {
  for (auto& [easy, transfer] : active_) curl_multi_remove_handle(multi_, easy);
  active_.clear();
  curl_multi_cleanup(multi_);
}

void ApiClient::Ask(ApiRequest request, OnAnswer on_answer) {
  auto transfer = std::make_unique<Transfer>();
  transfer->request = std::move(request);
  transfer->on_answer = std::move(on_answer);
  transfer->give_up = clock_.Monotonic() + access_.busy_patience;
  Enqueue(std::move(transfer), absl::ZeroDuration());
}

void ApiClient::Stream(ApiRequest request, absl::Duration silence, OnBytes on_bytes,
                       OnAnswer on_answer) {
  auto transfer = std::make_unique<Transfer>();
  transfer->request = std::move(request);
  transfer->on_answer = std::move(on_answer);
  transfer->on_bytes = std::move(on_bytes);
  transfer->silence = silence;
  Enqueue(std::move(transfer), absl::ZeroDuration());
}

void ApiClient::Enqueue(std::unique_ptr<Transfer> transfer, absl::Duration not_before) {
  waiting_.push_back({std::move(transfer), not_before});
}

// Within the rate: an allowance that grows with time, of at most one second's requests.
void ApiClient::StartWaiting() {
  const absl::Duration now = clock_.Monotonic();
  const auto rate = static_cast<double>(access_.requests_per_second);
  allowance_ = std::min(rate, allowance_ + absl::ToDoubleSeconds(now - allowance_time_) * rate);
  allowance_time_ = now;
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    if (allowance_ < 1 || active_.size() >= kMostActive) return;
    if (entry->not_before > now) {
      ++entry;
      continue;
    }
    std::unique_ptr<Transfer> transfer = std::move(entry->transfer);
    entry = waiting_.erase(entry);
    allowance_ -= 1;
    Begin(std::move(transfer));
  }
}

absl::Duration ApiClient::UntilNextStart() const {
  if (waiting_.empty() || active_.size() >= kMostActive) return absl::InfiniteDuration();
  const absl::Duration now = clock_.Monotonic();
  absl::Duration wait = absl::InfiniteDuration();
  for (const Waiting& entry : waiting_) wait = std::min(wait, entry.not_before - now);
  const auto rate = static_cast<double>(access_.requests_per_second);
  return std::max({wait, absl::Seconds((1 - allowance_) / rate), absl::ZeroDuration()});
}

void ApiClient::Begin(std::unique_ptr<Transfer> transfer) {
  transfer->easy.reset(curl_easy_init());
  CURL* easy = transfer->easy.get();
  const ApiRequest& request = transfer->request;
  transfer->answer = {};
  std::vector<std::string> headers = {"Accept: application/json", "Expect:"};
  if (!request.content_type.empty()) headers.push_back("Content-Type: " + request.content_type);
  if (!access_.token_file.empty()) {
    const StatusOr<std::string> token = ReadFile(access_.token_file);
    if (token.ok()) headers.push_back("Authorization: Bearer " + WithoutEnd(*token));
    // Without it the server's 401 says the rest.
  }
  for (const std::string& header : headers) {
    transfer->headers.reset(curl_slist_append(transfer->headers.release(), header.c_str()));
  }
  curl_easy_setopt(easy, CURLOPT_URL, (access_.server + request.path).c_str());
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers.get());
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "anamnesis-coordinator");
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->text);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  // The API server is reached as it is named: no proxy of the environment sees the token.
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  if (!access_.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, access_.ca_file.c_str());
  if (transfer->on_bytes) {
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     static_cast<long>(absl::ToInt64Seconds(transfer->silence)));
  } else {
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(access_.deadline)));
  }
  if (!request.body.empty()) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
  }
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer.get());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer.get());
  ++num_requests_;
  curl_multi_add_handle(multi_, easy);
  active_[easy] = std::move(transfer);
}

void ApiClient::End(void* easy, int code) {
  curl_multi_remove_handle(multi_, easy);
  auto node = active_.extract(easy);
  if (node.empty()) return;
  std::unique_ptr<Transfer> transfer = std::move(node.mapped());
  ApiAnswer& answer = transfer->answer;
  curl_easy_getinfo(transfer->easy.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  curl_off_t retry_after = 0;
  curl_easy_getinfo(transfer->easy.get(), CURLINFO_RETRY_AFTER, &retry_after);
  answer.retry_after_seconds = std::clamp<int64_t>(retry_after, 0, kMostRetryAfterSeconds);
  if (code != CURLE_OK && !transfer->ended) {
    const char* reason = transfer->text[0] != '\0'
                             ? transfer->text
                             : curl_easy_strerror(static_cast<CURLcode>(code));
    answer = {.error = transfer->too_large ? Cat(access_.server, ": an answer of more than ",
                                                 kMostAnswerBytes, " bytes")
                                           : Cat(access_.server, ": ", OneLine(reason))};
  }
  if (answer.problem() == ApiProblem::kBusy && !transfer->on_bytes) {
    const absl::Duration next =
        clock_.Monotonic() + absl::Seconds(std::max<int64_t>(1, answer.retry_after_seconds));
    if (next < transfer->give_up) {
      transfer->headers.reset();
      transfer->easy.reset();
      return Enqueue(std::move(transfer), next);
    }
  }
  transfer->on_answer(answer);
}

void ApiClient::Run(absl::Duration at_most) {
  const absl::Duration end = clock_.Monotonic() + at_most;
  for (;;) {
    StartWaiting();
    int running = 0;
    curl_multi_perform(multi_, &running);
    bool moved = false;
    for (auto& [easy, transfer] : active_) moved |= std::exchange(transfer->received, false);
    std::vector<std::pair<void*, int>> ended;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg == CURLMSG_DONE)
        ended.emplace_back(message->easy_handle, message->data.result);
    }
    for (const auto& [easy, code] : ended) End(easy, code);
    const absl::Duration now = clock_.Monotonic();
    if (moved || !ended.empty() || now >= end) return;
    const absl::Duration wait = std::min(end - now, UntilNextStart());
    int ready = 0;
    const int wait_ms =
        static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(wait) + 1, 1, 60'000));
    curl_multi_poll(multi_, nullptr, 0, wait_ms, &ready);
    // Woken: curl_multi_poll returns early with nothing ready.
    if (ready == 0 && clock_.Monotonic() - now < absl::Milliseconds(wait_ms - 1)) return;
  }
}

void ApiClient::Wake() { curl_multi_wakeup(multi_); }

}  // namespace anamnesis::launch
