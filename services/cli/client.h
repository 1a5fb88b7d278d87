// SPDX-License-Identifier: Apache-2.0
// The coordinator as the commands see it. Unary calls have a deadline of 30 s. Streams have none;
// when the coordinator goes away in the middle of one, it is opened again where it was, for up to
// 60 s, so that a restart is not seen. Errors are the server's; kUnavailable with "no coordinator
// at ..." where none was ever reached. Thread-compatible.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/cli/connection.h"

namespace anamnesis::v1 {
class Checkpoint;
class CreateJobRequest;
class Job;
class MetricPoint;
class Node;
class StreamLogsRequest;
class StreamMetricsRequest;
class WatchJobsResponse;
}  // namespace anamnesis::v1

namespace anamnesis::cli {

// Called about every 100 ms of a stream, and while it is being opened again; false ends it.
using KeepGoing = std::function<bool()>;

class Client {
 public:
  explicit Client(Connection connection);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const Connection& connection() const;
  // Of a unary call; 30 s by default.
  void SetDeadline(absl::Duration deadline);
  // Told once for each time the coordinator is away: "coordinator gone, waiting ...".
  void OnNotice(std::function<void(const std::string&)> notice);

  // With a request_id it is tried again for up to 30 s while the coordinator is away; not when
  // there is none at all.
  StatusOr<v1::Job> CreateJob(const v1::CreateJobRequest& request);
  StatusOr<v1::Job> GetJob(const std::string& name, bool full);
  // Newest first, all pages, at most `limit` (0: all). `states` as v1::JobState; none: all.
  StatusOr<std::vector<v1::Job>> ListJobs(const std::vector<int>& states, size_t limit);
  // Without a grace the server's default.
  StatusOr<v1::Job> CancelJob(const std::string& name, std::optional<absl::Duration> grace);
  StatusOr<v1::Job> PauseJob(const std::string& name);
  StatusOr<v1::Job> ResumeJob(const std::string& name);
  StatusOr<std::vector<v1::Checkpoint>> ListCheckpoints(const std::string& job);
  StatusOr<std::string> ServerVersion();
  StatusOr<std::vector<v1::Node>> ListNodes();
  // "" names the only node. kNotFound: there is no such one.
  StatusOr<v1::Node> CordonNode(const std::string& name, const std::string& message);
  StatusOr<v1::Node> DrainNode(const std::string& name, const std::string& message);
  StatusOr<v1::Node> UncordonNode(const std::string& name);

  // OK when `finished` says so at the stream's end, or when `on_job` or `keep_going` gave false.
  // A job may be told again, unchanged, after a restart.
  Status WatchJobs(const std::vector<std::string>& names,
                   const std::function<bool(const v1::WatchJobsResponse&)>& on_job,
                   const std::function<bool()>& finished, const KeepGoing& keep_going);
  // Each byte once.
  Status StreamLogs(const v1::StreamLogsRequest& request,
                    const std::function<bool(const std::string&)>& on_lines,
                    const KeepGoing& keep_going);
  // Each point once.
  Status StreamMetrics(const v1::StreamMetricsRequest& request,
                       const std::function<bool(const v1::MetricPoint&)>& on_point,
                       const KeepGoing& keep_going);

 private:
  struct Wire;
  std::unique_ptr<Wire> wire_;
};

}  // namespace anamnesis::cli
