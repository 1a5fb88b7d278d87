// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/session.h"

#include <grpcpp/grpcpp.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "anamnesis/v1/worker_service.grpc.pb.h"
#include "common/base/clock.h"
#include "common/process/identity.h"
#include "common/rpc/address.h"
#include "common/rpc/status.h"
#include "workers/agent/relay_line.h"

namespace anamnesis::agent {
namespace {

constexpr int kProtocolVersion = 1;
constexpr std::chrono::milliseconds kFirstBackoff{100};
constexpr std::chrono::milliseconds kLastBackoff{1000};
constexpr std::chrono::milliseconds kDefaultHeartbeat{2000};
constexpr absl::Duration kDefaultLease = absl::Seconds(6);

// An answer that will be the same next time: this worker has no place any more.
bool IsFinal(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

}  // namespace

class Session::Line {
 public:
  explicit Line(SessionOptions options)
      : options_(std::move(options)),
        stub_(v1::WorkerService::NewStub(rpc::MakeChannel(options_.coordinator))),
        last_heard_(Clock::System().Monotonic()) {
    thread_ = std::thread([this] { Run(); });
    ::pthread_setname_np(thread_.native_handle(), "session");
  }

  ~Line() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
      if (context_ != nullptr) context_->TryCancel();
    }
    changed_.notify_all();
    thread_.join();
  }

  void Report(v1::Report report) {
    const std::lock_guard<std::mutex> lock(mutex_);
    report.set_sequence(++last_sequence_);
    reports_.push_back(std::move(report));
    changed_.notify_all();
  }

  void AskCommit(const CommitQuestion& question, OnCommitAnswer answer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!refused_.ok()) return answer(false, MessageOf(refused_));
    commits_.push_back({question, std::move(answer), /*sent=*/false});
    changed_.notify_all();
  }

  void SetOnStop(OnStop on_stop) {
    const std::lock_guard<std::mutex> lock(mutex_);
    on_stop_ = std::move(on_stop);
    if (on_stop_ && stop_.has_value()) on_stop_(*stop_);
  }

  void Relay(int32_t node, v1::Relay relay) {
    const std::lock_guard<std::mutex> lock(mutex_);
    LineTo(node).Put(std::move(relay));
    changed_.notify_all();
  }

  StatusOr<v1::Grant> WaitGrant(int64_t after, absl::Duration patience) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto ready = [&] {
      return !refused_.ok() || leave_ || (grant_.has_value() && grant_->epoch() > after);
    };
    ANAM_RETURN_IF_ERROR(WaitFor(lock, ready, patience));
    if (!refused_.ok()) return refused_;
    if (leave_) return Aborted("told to leave");
    return *grant_;
  }

  Status Drain(absl::Duration patience) {
    std::unique_lock<std::mutex> lock(mutex_);
    ANAM_RETURN_IF_ERROR(WaitFor(
        lock, [&] { return !refused_.ok() || reports_.empty(); }, patience));
    return refused_;
  }

  Status refused() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return refused_;
  }

 private:
  using Stream = grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>;

  struct PendingCommit {
    CommitQuestion question;
    OnCommitAnswer answer;
    bool sent = false;
  };

  // Waits for `ready`, but not longer than `patience` without a coordinator.
  template <typename Ready>
  Status WaitFor(std::unique_lock<std::mutex>& lock, Ready ready, absl::Duration patience) {
    while (!ready()) {
      const absl::Duration silence = Clock::System().Monotonic() - last_heard_;
      if (silence > patience) {
        return DeadlineExceeded("no coordinator at ", options_.coordinator.Text(), " for ",
                                absl::ToInt64Seconds(silence), " s");
      }
      changed_.wait_for(lock, std::chrono::seconds(1));
    }
    return absl::OkStatus();
  }

  // Attaches again and again until the session ends for good.
  void Run() {
    std::chrono::milliseconds backoff = kFirstBackoff;
    for (;;) {
      const bool was_attached = Attach();
      std::unique_lock<std::mutex> lock(mutex_);
      if (closing_ || !refused_.ok()) break;
      backoff = was_attached ? kFirstBackoff : std::min(2 * backoff, kLastBackoff);
      changed_.wait_for(lock, backoff, [&] { return closing_; });
      if (closing_) break;
    }
    AnswerAll("the coordinator has refused this worker");
  }

  // One life of the stream. True when the coordinator accepted us.
  bool Attach() {
    grpc::ClientContext context;
    std::unique_ptr<Stream> stream;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (closing_) return false;
      context_ = &context;
      attached_ = false;
      broken_ = false;
      sent_sequence_ = 0;
      for (PendingCommit& commit : commits_) commit.sent = false;
      for (auto& [node, line] : relays_) line.SendAgain();
    }
    stream = stub_->Session(&context);
    std::thread reader;
    if (stream->Write(HelloMessage())) {
      reader = std::thread([&] { ReadLoop(stream.get()); });
      WriteLoop(stream.get(), &context);
    }
    if (reader.joinable()) reader.join();
    const Status status = rpc::FromGrpc(stream->Finish());
    const std::lock_guard<std::mutex> lock(mutex_);
    context_ = nullptr;
    if (!closing_ && IsFinal(status)) refused_ = status;
    changed_.notify_all();
    return attached_;
  }

  v1::SessionRequest HelloMessage() {
    const std::lock_guard<std::mutex> lock(mutex_);
    v1::SessionRequest request;
    v1::Hello& hello = *request.mutable_hello();
    hello.set_protocol_version(kProtocolVersion);
    hello.set_job_id(options_.job_id);
    hello.set_epoch(grant_.has_value() ? grant_->epoch() : options_.epoch);
    hello.set_token(options_.token);
    hello.set_host(HostName());
    hello.set_pid(::getpid());
    hello.set_reattach(grant_.has_value());
    hello.set_node(options_.node);
    return request;
  }

  // Sends what is due, and heartbeats, until the stream breaks.
  void WriteLoop(Stream* stream, grpc::ClientContext* context) {
    std::unique_lock<std::mutex> lock(mutex_);
    const absl::Duration begin = Clock::System().Monotonic();
    absl::Duration last_beat = begin;  // the interval comes with the grant
    while (!closing_ && !broken_) {
      const absl::Duration now = Clock::System().Monotonic();
      std::vector<v1::SessionRequest> due;
      if (attached_) TakeDue(&due);
      if (now >= last_beat + Heartbeat()) {
        // Before the grant there is no epoch to name: the coordinator would refuse the worker.
        if (attached_) due.emplace_back().mutable_heartbeat()->set_epoch(grant_->epoch());
        for (auto& [node, line] : relays_) line.Beat();
        last_beat = now;
        // A coordinator that hangs; a new one may be slow to answer.
        if (now - std::max(last_heard_, begin) > Lease()) context->TryCancel();
      }
      if (due.empty()) {
        changed_.wait_for(lock, absl::ToChronoMilliseconds(last_beat + Heartbeat() - now));
        continue;
      }
      lock.unlock();
      bool written = true;
      for (const v1::SessionRequest& request : due) written = written && stream->Write(request);
      lock.lock();
      if (!written) break;
    }
    // Not where the coordinator has ended the stream: its reason would be lost.
    if (closing_) context->TryCancel();
  }

  void TakeDue(std::vector<v1::SessionRequest>* due) {
    for (const v1::Report& report : reports_) {
      if (report.sequence() <= sent_sequence_) continue;
      *due->emplace_back().mutable_report() = report;
      sent_sequence_ = report.sequence();
    }
    for (PendingCommit& commit : commits_) {
      if (commit.sent) continue;
      v1::CommitRequest& request = *due->emplace_back().mutable_commit();
      request.set_epoch(commit.question.epoch);
      request.set_step(commit.question.step);
      request.set_name(commit.question.name);
      request.set_sha256(commit.question.sha256);
      commit.sent = true;
    }
    std::vector<v1::Relay> relays;
    for (auto& [node, line] : relays_) line.TakeDue(&relays);
    for (v1::Relay& relay : relays) *due->emplace_back().mutable_relay() = std::move(relay);
  }

  void ReadLoop(Stream* stream) {
    v1::SessionResponse response;
    while (stream->Read(&response)) {
      const std::lock_guard<std::mutex> lock(mutex_);
      last_heard_ = Clock::System().Monotonic();
      Take(response);
      changed_.notify_all();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    broken_ = true;
    changed_.notify_all();
  }

  void Take(const v1::SessionResponse& response) {
    if (response.has_grant()) {
      attached_ = true;
      if (!grant_.has_value() || response.grant().epoch() > grant_->epoch()) {
        grant_ = response.grant();
        stop_.reset();
        // Of the epoch before: nobody waits for them any more.
        std::erase_if(commits_, [&](const PendingCommit& commit) {
          return commit.question.epoch < grant_->epoch();
        });
      }
      Acknowledge(response.grant().acknowledged_sequence());
    } else if (response.has_ack()) {
      Acknowledge(response.ack().sequence());
    } else if (response.has_commit()) {
      TakeAnswer(response.commit());
    } else if (response.has_stop()) {
      stop_ = response.stop();
      leave_ = leave_ || stop_->leave();
      if (on_stop_) on_stop_(*stop_);
    } else if (response.has_relay()) {
      TakeRelay(response.relay());
    }
  }

  void TakeRelay(const v1::Relay& relay) {
    RelayLine& line = LineTo(relay.node());
    if (relay.again()) return line.SendAgain();
    const bool is_new = line.Receive(relay);
    if (!options_.on_relay) return;
    // A repetition is a sign of life and no more.
    v1::Relay beat;
    beat.set_node(relay.node());
    options_.on_relay(is_new ? relay : beat);
  }

  RelayLine& LineTo(int32_t node) { return relays_.try_emplace(node, node).first->second; }

  void Acknowledge(int64_t sequence) {
    while (!reports_.empty() && reports_.front().sequence() <= sequence) reports_.pop_front();
  }

  void TakeAnswer(const v1::CommitReply& reply) {
    for (auto commit = commits_.begin(); commit != commits_.end(); ++commit) {
      if (commit->question.epoch != reply.epoch() || commit->question.step != reply.step())
        continue;
      const OnCommitAnswer answer = std::move(commit->answer);
      commits_.erase(commit);
      answer(reply.granted(), reply.reason());
      return;
    }
  }

  void AnswerAll(const std::string& reason) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const PendingCommit& commit : std::exchange(commits_, {})) commit.answer(false, reason);
    if (on_stop_ && !closing_) {
      v1::StopRequest stop;  // at once: what this worker writes would be refused
      on_stop_(stop);
    }
  }

  absl::Duration Heartbeat() const {
    return grant_.has_value() && grant_->heartbeat_interval_ms() > 0
               ? absl::Milliseconds(grant_->heartbeat_interval_ms())
               : absl::FromChrono(kDefaultHeartbeat);
  }
  absl::Duration Lease() const {
    return grant_.has_value() && grant_->lease_ms() > 0 ? absl::Milliseconds(grant_->lease_ms())
                                                        : kDefaultLease;
  }

  const SessionOptions options_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;

  grpc::ClientContext* context_ = nullptr;  // of the stream that is open
  bool closing_ = false;
  bool attached_ = false;  // the grant of this stream has come
  bool broken_ = false;    // the stream has ended
  absl::Duration last_heard_;

  std::optional<v1::Grant> grant_;  // the newest
  std::optional<v1::StopRequest> stop_;
  OnStop on_stop_;
  bool leave_ = false;
  Status refused_;

  int64_t last_sequence_ = 0;
  int64_t sent_sequence_ = 0;            // in this stream
  std::deque<v1::Report> reports_;       // not acknowledged
  std::vector<PendingCommit> commits_;   // not answered
  std::map<int32_t, RelayLine> relays_;  // by the other side's node
};

Session::Session(SessionOptions options) : line_(std::make_unique<Line>(std::move(options))) {}
Session::~Session() = default;
void Session::Report(v1::Report report) { line_->Report(std::move(report)); }
void Session::AskCommit(const CommitQuestion& question, OnCommitAnswer answer) {
  line_->AskCommit(question, std::move(answer));
}
void Session::Relay(int32_t node, v1::Relay relay) { line_->Relay(node, std::move(relay)); }
void Session::SetOnStop(OnStop on_stop) { line_->SetOnStop(std::move(on_stop)); }
StatusOr<v1::Grant> Session::WaitGrant(int64_t after, absl::Duration orphan_patience) {
  return line_->WaitGrant(after, orphan_patience);
}
Status Session::Drain(absl::Duration orphan_patience) { return line_->Drain(orphan_patience); }
Status Session::refused() const { return line_->refused(); }

}  // namespace anamnesis::agent
