// SPDX-License-Identifier: Apache-2.0
// The streams of JobService. Each looks at the board until its jobs have ended or its client is
// gone.
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <set>

#include "common/io/file.h"
#include "common/rpc/status.h"
#include "services/coordinator/convert.h"
#include "services/coordinator/job_service.h"

namespace anamnesis::coordinator {
namespace {

constexpr std::chrono::milliseconds kLook{500};  // how often a stream sees that its client is gone
constexpr std::chrono::milliseconds kLogLook{200};
constexpr size_t kLogPiece = 256u << 10;
constexpr int64_t kPointsPage = 500;

// A token is the board's version in one life of the coordinator; another's means a new snapshot.
std::string TokenOf(uint64_t version) {
  static const std::string life = std::to_string(absl::ToUnixMicros(absl::Now()));
  return Cat(life, "-", version);
}

uint64_t VersionOf(const std::string& token) {
  const size_t dash = token.find('-');
  uint64_t version = 0;
  if (dash == std::string::npos) return 0;
  std::from_chars(token.data() + dash + 1, token.data() + token.size(), version);
  return TokenOf(version) == token ? version : 0;
}

// A growing file, in whole lines.
class LogTail {
 public:
  explicit LogTail(std::string path) : path_(std::move(path)) {}

  // What has been added since the last call, at most kLogPiece; with `all` a last line without its
  // end too.
  std::string Next(bool all) {
    if (!file_.valid()) file_ = FileDescriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file_.valid()) return "";
    std::string piece(kLogPiece, '\0');
    const ssize_t size = ::pread(file_.get(), piece.data(), piece.size(), offset_);
    piece.resize(size > 0 ? static_cast<size_t>(size) : 0);
    const size_t end = piece.rfind('\n');
    if (!all && piece.size() < kLogPiece) piece.resize(end == std::string::npos ? 0 : end + 1);
    offset_ += static_cast<off_t>(piece.size());
    return piece;
  }

 private:
  const std::string path_;
  FileDescriptor file_;
  off_t offset_ = 0;
};

}  // namespace

grpc::Status JobServiceImpl::WatchJobs(grpc::ServerContext* context,
                                       const v1::WatchJobsRequest* request,
                                       grpc::ServerWriter<v1::WatchJobsResponse>* writer) {
  if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return rpc::ToGrpc(allowed);
  std::set<core::JobId> wanted;
  for (const std::string& name : request->names()) {
    const StatusOr<JobSnapshot> job = api_.FindJob(name);
    if (!job.ok()) return rpc::ToGrpc(job.status());
    wanted.insert((*job)->id);
  }
  std::set<core::JobId> open = wanted;
  uint64_t version = VersionOf(request->resume_token());
  bool snapshot = true;
  while (!context->IsCancelled()) {
    const Board::Changes changes =
        api_.board.Since(version, snapshot ? std::chrono::milliseconds(0) : kLook);
    for (const JobSnapshot& job : changes.jobs) {
      if (!wanted.empty() && !wanted.contains(job->id)) continue;
      v1::WatchJobsResponse response;
      *response.mutable_job() = ToProto(*job);
      response.mutable_job()->mutable_spec()->clear_config_yaml();
      response.set_resume_token(TokenOf(changes.version));
      if (!writer->Write(response)) return grpc::Status::CANCELLED;
      if (core::IsTerminal(job->state)) open.erase(job->id);
    }
    version = changes.version;
    if (snapshot) {
      // Jobs that a resumed watch did not see again may have ended before.
      for (const core::JobId id : wanted) {
        if (core::IsTerminal(api_.board.Find(id)->state)) open.erase(id);
      }
      v1::WatchJobsResponse response;
      response.set_snapshot_complete(true);
      response.set_resume_token(TokenOf(version));
      if (!writer->Write(response)) return grpc::Status::CANCELLED;
      snapshot = false;
    }
    if (!wanted.empty() && open.empty()) return grpc::Status::OK;
    if (api_.board.closed()) return rpc::ToGrpc(Unavailable("the coordinator ends"));
  }
  return grpc::Status::CANCELLED;
}

grpc::Status JobServiceImpl::StreamLogs(grpc::ServerContext* context,
                                        const v1::StreamLogsRequest* request,
                                        grpc::ServerWriter<v1::StreamLogsResponse>* writer) {
  if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return rpc::ToGrpc(allowed);
  const StatusOr<JobSnapshot> job = api_.FindJob(request->name());
  if (!job.ok()) return rpc::ToGrpc(job.status());
  if (request->has_rank() && (request->rank() < 0 || request->rank() >= (*job)->resolved.ranks)) {
    return rpc::ToGrpc(NotFound("rank ", request->rank(), ": the job has ranks 0 to ",
                                (*job)->resolved.ranks - 1));
  }
  LogTail tail(request->has_rank()
                   ? Cat((*job)->resolved.output_dir, "/.anamnesis/rank-", request->rank(), ".log")
                   : api_.launcher.LogPath((*job)->id));
  uint64_t version = 0;
  while (!context->IsCancelled()) {
    const bool ended = core::IsTerminal(api_.board.Find((*job)->id)->state);
    const bool last = ended || !request->follow() || api_.board.closed();
    for (std::string lines = tail.Next(last); !lines.empty(); lines = tail.Next(last)) {
      v1::StreamLogsResponse response;
      response.set_lines(std::move(lines));
      if (!writer->Write(response)) return grpc::Status::CANCELLED;
    }
    if (ended || !request->follow()) return grpc::Status::OK;
    if (api_.board.closed()) return rpc::ToGrpc(Unavailable("the coordinator ends"));
    version = api_.board.Since(version, kLogLook).version;
  }
  return grpc::Status::CANCELLED;
}

grpc::Status JobServiceImpl::StreamMetrics(grpc::ServerContext* context,
                                           const v1::StreamMetricsRequest* request,
                                           grpc::ServerWriter<v1::StreamMetricsResponse>* writer) {
  if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return rpc::ToGrpc(allowed);
  const StatusOr<JobSnapshot> job = api_.FindJob(request->name());
  if (!job.ok()) return rpc::ToGrpc(job.status());
  int64_t cursor = 0;
  uint64_t version = 0;
  while (!context->IsCancelled()) {
    version = api_.board.Since(version, std::chrono::milliseconds(0)).version;
    const bool ended = core::IsTerminal(api_.board.Find((*job)->id)->state);
    for (bool more = true; more;) {
      const StatusOr<std::vector<store::MetricPoint>> points =
          api_.store.Points((*job)->id, cursor, kPointsPage, &cursor);
      if (!points.ok()) return rpc::ToGrpc(points.status());
      more = static_cast<int64_t>(points->size()) == kPointsPage;
      v1::StreamMetricsResponse response;
      for (const store::MetricPoint& point : *points) {
        if (point.step > request->after_step()) *response.add_points() = ToProto(point);
      }
      if (response.points_size() > 0 && !writer->Write(response)) return grpc::Status::CANCELLED;
    }
    if (ended || !request->follow()) return grpc::Status::OK;
    if (api_.board.closed()) return rpc::ToGrpc(Unavailable("the coordinator ends"));
    api_.board.Since(version, kLook);
  }
  return grpc::Status::CANCELLED;
}

}  // namespace anamnesis::coordinator
