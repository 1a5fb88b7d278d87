// SPDX-License-Identifier: Apache-2.0
// Streams of Client: read without blocking, so that Ctrl-C and the clock are seen in between, and
// opened again after the coordinator was away.
#include <algorithm>
#include <tuple>

#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "services/cli/client.h"
#include "services/cli/wire.h"

namespace anamnesis::cli {
namespace {

// What became of one opening of a stream.
struct Ended {
  grpc::Status status;
  bool stopped = false;  // by us
  bool heard = false;    // at least one message came
};

// Reads one stream to its end. `open` prepares it on the given context and queue.
template <typename Response, typename Open, typename OnMessage>
Ended ReadStream(const std::string& token, const Open& open, const OnMessage& on_message,
                 const KeepGoing& keep_going) {
  enum Tag : intptr_t { kStarted = 1, kRead, kFinished };
  const auto tag = [](Tag value) { return reinterpret_cast<void*>(value); };
  Ended ended;
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  rpc::Authorize(token, &context);
  const auto reader = open(&context, &queue);
  reader->StartCall(tag(kStarted));
  Response message;
  const auto stop_unless = [&](bool go_on) {
    if (go_on || ended.stopped) return;
    ended.stopped = true;
    context.TryCancel();
  };
  for (bool done = false; !done;) {
    void* got = nullptr;
    bool ok = false;
    const auto next = queue.AsyncNext(
        &got, &ok, std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kTick));
    if (!ended.stopped) stop_unless(keep_going());
    if (next != grpc::CompletionQueue::GOT_EVENT) continue;
    if (got == tag(kFinished)) {
      done = true;
    } else if (!ok) {
      reader->Finish(&ended.status, tag(kFinished));
    } else {
      if (got == tag(kRead)) {
        ended.heard = true;
        if (!ended.stopped) stop_unless(on_message(message));
      }
      reader->Read(&message, tag(kRead));
    }
  }
  queue.Shutdown();
  void* rest = nullptr;
  for (bool ok = false; queue.Next(&rest, &ok);) {
  }
  return ended;
}

// False when keep_going said so before the time had passed.
bool Pause(absl::Duration pause, const KeepGoing& keep_going) {
  const absl::Time end = absl::Now() + pause;
  while (absl::Now() < end) {
    if (!keep_going()) return false;
    absl::SleepFor(std::min(kTick, end - absl::Now()));
  }
  return keep_going();
}

// Calls `read_once` again and again: until it was stopped, `finished` at an orderly end, an answer
// that is an error (unless `forgive` takes it), or the coordinator was away for too long.
struct Repeat {
  std::function<Ended()> read_once;
  std::function<bool()> finished;
  std::function<bool(const grpc::Status&)> forgive;
};

template <typename Wire>
Status RunRepeated(Wire& wire, const Repeat& repeat, const KeepGoing& keep_going) {
  absl::Time away_since = absl::InfiniteFuture();
  bool told = false;
  for (;;) {
    const Ended ended = repeat.read_once();
    if (ended.heard) {
      wire.reached = true;
      away_since = absl::InfiniteFuture();
      told = false;
    }
    if (ended.stopped) return absl::OkStatus();
    if (ended.status.ok()) {
      if (repeat.finished()) return absl::OkStatus();
    } else if (!IsAway(ended.status)) {
      if (!repeat.forgive(ended.status)) return wire.Failure(ended.status);
    } else {
      if (!wire.reached) return wire.Failure(ended.status);
      const absl::Time now = absl::Now();
      away_since = std::min(away_since, now);
      if (now - away_since > kRestartPatience) {
        return AddContext(wire.Failure(ended.status),
                          Cat("waited ", absl::FormatDuration(kRestartPatience), " in vain"));
      }
      if (!told) wire.Notice("coordinator gone, waiting for it …");
      told = true;
    }
    if (!Pause(absl::Milliseconds(500), keep_going)) return absl::OkStatus();
  }
}

bool Never(const grpc::Status&) { return false; }

}  // namespace

Status Client::WatchJobs(const std::vector<std::string>& names,
                         const std::function<bool(const v1::WatchJobsResponse&)>& on_job,
                         const std::function<bool()>& finished, const KeepGoing& keep_going) {
  v1::WatchJobsRequest request;
  for (const std::string& name : names) request.add_names(name);
  const auto on_message = [&](const v1::WatchJobsResponse& response) {
    if (!response.resume_token().empty()) request.set_resume_token(response.resume_token());
    return on_job(response);
  };
  const auto read_once = [&] {
    return ReadStream<v1::WatchJobsResponse>(
        wire_->connection.token,
        [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
          return wire_->jobs->PrepareAsyncWatchJobs(context, request, queue);
        },
        on_message, keep_going);
  };
  // A coordinator that does not know the token any more tells the jobs as they are.
  const auto forgive = [&](const grpc::Status& status) {
    const bool refused = status.error_code() == grpc::StatusCode::OUT_OF_RANGE ||
                         status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ||
                         status.error_code() == grpc::StatusCode::FAILED_PRECONDITION ||
                         status.error_code() == grpc::StatusCode::ABORTED;
    if (!refused || request.resume_token().empty()) return false;
    request.clear_resume_token();
    return true;
  };
  return RunRepeated(*wire_, {read_once, finished, forgive}, keep_going);
}

Status Client::StreamLogs(const v1::StreamLogsRequest& request,
                          const std::function<bool(const std::string&)>& on_lines,
                          const KeepGoing& keep_going) {
  size_t received = 0;  // over all openings
  size_t skip = 0;      // of this opening: the log begins anew
  const auto on_message = [&](const v1::StreamLogsResponse& response) {
    const std::string& lines = response.lines();
    const size_t known = std::min(skip, lines.size());
    skip -= known;
    received += lines.size() - known;
    return known == lines.size() || on_lines(lines.substr(known));
  };
  const auto read_once = [&] {
    skip = received;
    return ReadStream<v1::StreamLogsResponse>(
        wire_->connection.token,
        [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
          return wire_->jobs->PrepareAsyncStreamLogs(context, request, queue);
        },
        on_message, keep_going);
  };
  return RunRepeated(*wire_, {read_once, [] { return true; }, Never}, keep_going);
}

Status Client::StreamMetrics(const v1::StreamMetricsRequest& request,
                             const std::function<bool(const v1::MetricPoint&)>& on_point,
                             const KeepGoing& keep_going) {
  // A step and the evaluation after it are two points of one number, and a later attempt makes
  // steps again, so that after_step cannot say where a stream was: it is opened as at first, and
  // what was seen is left out.
  std::vector<std::string> last_seen;
  int64_t last_step = 0;
  int64_t last_epoch = 0;
  const auto on_message = [&](const v1::StreamMetricsResponse& response) {
    for (const v1::MetricPoint& point : response.points()) {
      const std::pair at(point.epoch(), point.step());
      if (at < std::pair(last_epoch, last_step)) continue;
      if (at != std::pair(last_epoch, last_step)) last_seen.clear();
      std::tie(last_epoch, last_step) = at;
      // Not the bytes of the map, which have no order.
      std::vector<std::string> names;
      for (const auto& [name, value] : point.values()) names.push_back(name);
      std::sort(names.begin(), names.end());
      std::string key;
      for (const std::string& name : names) key += name + " ";
      if (std::find(last_seen.begin(), last_seen.end(), key) != last_seen.end()) continue;
      last_seen.push_back(std::move(key));
      if (!on_point(point)) return false;
    }
    return true;
  };
  const auto read_once = [&] {
    return ReadStream<v1::StreamMetricsResponse>(
        wire_->connection.token,
        [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
          return wire_->jobs->PrepareAsyncStreamMetrics(context, request, queue);
        },
        on_message, keep_going);
  };
  return RunRepeated(*wire_, {read_once, [] { return true; }, Never}, keep_going);
}

}  // namespace anamnesis::cli
