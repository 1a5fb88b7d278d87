// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/worker_service.h"

#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>

#include "common/rpc/status.h"
#include "services/coordinator/convert.h"
#include "services/coordinator/folder_store.h"

namespace anamnesis::coordinator {
namespace {

constexpr int kProtocolVersion = 1;

StatusOr<core::JobId> CheckHello(const v1::SessionRequest& request) {
  if (!request.has_hello()) return InvalidArgument("a session begins with hello");
  if (request.hello().protocol_version() != kProtocolVersion) {
    return FailedPrecondition("protocol version ", request.hello().protocol_version(),
                              ", this coordinator speaks ", kProtocolVersion,
                              "; install worker and coordinator of one release");
  }
  return JobIdFromName(request.hello().job_id());
}

// One worker's stream; lives until gRPC is done with it and nobody has a link to it.
class SessionReactor final
    : public grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>,
      public SessionLink,
      public std::enable_shared_from_this<SessionReactor> {
 public:
  SessionReactor(Loop& loop, SessionHub& sessions) : loop_(loop), sessions_(sessions) {}

  void Begin() {
    self_ = shared_from_this();
    StartRead(&request_);
  }

  void Push(v1::SessionResponse message) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (closed_) return;
      outbox_.push_back(std::move(message));
    }
    Advance();
  }

  void Close(const Status& status) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!closed_) closed_ = status;
    }
    Advance();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Close(Unavailable("the worker has closed the session"));
    if (!job_) return Attach(request_);  // goes on reading once it is accepted
    Take(request_);
    StartRead(&request_);
  }

  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      writing_ = false;
      outbox_.pop_front();
      if (!ok) outbox_.clear();
      if (!ok && !closed_) closed_ = Unavailable("the worker is gone");
    }
    Advance();
  }

  void OnCancel() override { Close(Unavailable("the worker has cancelled the session")); }

  void OnDone() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
    }
    if (job_) Detach();
    self_.reset();
  }

 private:
  // Starts the next write, or ends the stream. gRPC never calls back from within a Start or Finish,
  // so they may be made under the lock.
  void Advance() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (writing_ || finished_) return;
    if (!outbox_.empty()) {
      writing_ = true;
      StartWrite(&outbox_.front());  // stays in place until it is written
    } else if (closed_) {
      finished_ = true;
      Finish(rpc::ToGrpc(*closed_));
    }
  }

  // The loop has accepted the worker. By then its stream may have ended.
  void Accept(const v1::Grant& grant) {
    v1::SessionResponse response;
    *response.mutable_grant() = grant;
    Push(std::move(response));
    sessions_.Register(Name(), token_, shared_from_this());
    bool over = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      over = done_;
      if (!finished_) StartRead(&request_);  // not finished: OnDone cannot come before it
    }
    if (over) Detach();  // OnDone came too early to do it
  }

  WorkerName Name() const { return {*job_, node_}; }

  void Detach() {
    if (!sessions_.Unregister(Name(), this)) return;
    loop_.Post(core::Detached{.job = *job_, .epoch = epoch_, .node = node_});
  }

  void Take(const v1::SessionRequest& request) {
    const auto close_if_refused = [link =
                                       shared_from_this()](const StatusOr<Loop::Applied>& applied) {
      if (!applied.ok()) link->Close(applied.status());
    };
    if ((request.has_report() || request.has_commit()) && node_ != 0) {
      Close(InvalidArgument("reports and commits are the leading worker's"));
    } else if (request.has_report()) {
      const StatusOr<core::Reported> report = FromProto(*job_, request.report());
      if (!report.ok()) return Close(report.status());
      loop_.Post(*report, close_if_refused);
    } else if (request.has_commit()) {
      TakeCommit(request.commit());
    } else if (request.has_relay()) {
      sessions_.Relay(Name(), this, request.relay());
    } else if (request.has_heartbeat()) {
      loop_.Post(core::Heard{.job = *job_, .epoch = request.heartbeat().epoch(), .node = node_},
                 [link = shared_from_this()](const StatusOr<Loop::Applied>& applied) {
                   if (!applied.ok()) return link->Close(applied.status());
                   v1::SessionResponse response;
                   response.mutable_ack()->set_sequence(applied->job->acknowledged_sequence);
                   link->Push(std::move(response));
                 });
    } else {
      Close(InvalidArgument("a session holds one hello, reports, commits, relays and heartbeats"));
    }
  }

  void Attach(const v1::SessionRequest& request) {
    const StatusOr<core::JobId> job = CheckHello(request);
    if (!job.ok()) return Close(job.status());
    job_ = *job;
    epoch_ = request.hello().epoch();
    node_ = request.hello().node();
    token_ = request.hello().token();
    const v1::Hello& hello = request.hello();
    loop_.Post(core::Attached{.job = *job_,
                              .epoch = epoch_,
                              .token = hello.token(),
                              .reattach = hello.reattach(),
                              .host = hello.host(),
                              .pid = hello.pid(),
                              .node = node_},
               [this, link = shared_from_this()](const StatusOr<Loop::Applied>& applied) {
                 if (!applied.ok()) return Close(applied.status());
                 Accept(MakeGrant(*applied->job, loop_.options()));
               });
  }

  void TakeCommit(const v1::CommitRequest& request) {
    core::Commit commit;
    commit.job = *job_;
    commit.epoch = request.epoch();
    commit.checkpoint.step = request.step();
    commit.checkpoint.sha256 = request.sha256();
    commit.name = request.name();
    const bool uploads = loop_.options().upload_checkpoints;
    loop_.Post(std::move(commit), [link = shared_from_this(), request,
                                   uploads](const StatusOr<Loop::Applied>& applied) {
      if (applied.status().code() == absl::StatusCode::kUnavailable ||
          applied.status().code() == absl::StatusCode::kResourceExhausted) {
        return link->Close(applied.status());  // asked again in the next session
      }
      v1::SessionResponse response;
      v1::CommitReply& reply = *response.mutable_commit();
      reply.set_epoch(request.epoch());
      reply.set_step(request.step());
      Status status = applied.status();
      if (status.ok() && uploads) {
        status =
            PublishIncoming(applied->job->resolved.output_dir, request.epoch(), request.name());
      }
      reply.set_granted(status.ok());
      if (!status.ok()) reply.set_reason(MessageOf(status));
      link->Push(std::move(response));
    });
  }

  Loop& loop_;
  SessionHub& sessions_;
  std::shared_ptr<SessionReactor> self_;  // until OnDone
  v1::SessionRequest request_;            // being read
  std::optional<core::JobId> job_;        // after hello; written by reads only
  int64_t epoch_ = 0, node_ = 0;
  std::string token_;

  std::mutex mutex_;
  std::deque<v1::SessionResponse> outbox_;  // the first is being written while writing_
  bool writing_ = false, finished_ = false, done_ = false;
  std::optional<Status> closed_;
};

}  // namespace

grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* WorkerServiceImpl::Session(
    grpc::CallbackServerContext*) {
  const auto reactor = std::make_shared<SessionReactor>(loop_, sessions_);
  reactor->Begin();
  return reactor.get();
}

StatusOr<std::string> WorkerServiceImpl::FindOutput(const v1::WorkerIdentity& worker) {
  if (!loop_.options().upload_checkpoints) {
    return FailedPrecondition("this coordinator takes no checkpoints (--checkpoints shared)");
  }
  ANAM_ASSIGN_OR_RETURN(const core::JobId id, JobIdFromName(worker.job_id()));
  std::promise<StatusOr<std::string>> found;
  loop_.Ask([&](const core::State* state) {
    const core::Job* job = state == nullptr ? nullptr : state->Find(id);
    if (state == nullptr) {
      found.set_value(Unavailable("the coordinator ends"));
    } else if (job == nullptr) {
      found.set_value(NotFound("there is no ", core::NameOf(id)));
    } else if (job->active() == nullptr || job->active()->epoch != worker.epoch()) {
      found.set_value(core::StaleEpoch(worker.epoch(), static_cast<int64_t>(job->attempts.size())));
    } else if (job->active()->token != worker.token()) {
      found.set_value(PermissionDenied("this is not the worker of ", core::NameOf(id), ", epoch ",
                                       worker.epoch()));
    } else {
      found.set_value(job->resolved.output_dir);
    }
  });
  return found.get_future().get();
}

grpc::Status WorkerServiceImpl::PutFolder(grpc::ServerContext*,
                                          grpc::ServerReader<v1::PutFolderRequest>* reader,
                                          v1::PutFolderResponse*) {
  const auto put = [&]() -> Status {
    v1::PutFolderRequest request;
    if (!reader->Read(&request) || !request.has_head()) {
      return InvalidArgument("a folder begins with its head");
    }
    const v1::PutFolderHead head = request.head();
    ANAM_ASSIGN_OR_RETURN(const std::string output, FindOutput(head.worker()));
    ANAM_ASSIGN_OR_RETURN(IncomingFolder folder,
                          IncomingFolder::Open(output, head.worker().epoch(), head.folder()));
    while (reader->Read(&request)) {
      if (!request.has_part()) return InvalidArgument("a folder has one head");
      ANAM_RETURN_IF_ERROR(folder.Add(request.part()));
    }
    return folder.Finish();
  };
  return rpc::ToGrpc(put());
}

grpc::Status WorkerServiceImpl::GetCheckpoint(
    grpc::ServerContext*, const v1::GetCheckpointRequest* request,
    grpc::ServerWriter<v1::GetCheckpointResponse>* writer) {
  const StatusOr<std::string> output = FindOutput(request->worker());
  if (!output.ok()) return rpc::ToGrpc(output.status());
  return rpc::ToGrpc(SendCheckpoints(
      *output, [&](const v1::GetCheckpointResponse& response) { return writer->Write(response); }));
}

}  // namespace anamnesis::coordinator
