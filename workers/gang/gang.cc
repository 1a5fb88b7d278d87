// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/gang.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "workers/gang/rank_link.h"
#include "workers/gang/rendezvous.h"
#include "workers/gang/verdict.h"

namespace anamnesis::gang {
namespace {

constexpr int kExitInterrupted = 130;
// Between two looks at a rank of which nothing can be heard.
constexpr absl::Duration kUnreachablePause = absl::Milliseconds(500);

class Loop {
 public:
  Loop(GangOptions options, Observer& observer)
      : options_(std::move(options)), observer_(observer) {}

  Outcome Run() {
    const Status started = StartRanks();
    if (!started.ok()) {
      Outcome outcome;
      outcome.status = started;
      return outcome;  // the ranks already started are killed and reaped with links_
    }
    while (std::any_of(links_.begin(), links_.end(),
                       [this](const RankLink& link) { return !link.ended && !IsKept(link); })) {
      Turn();
    }
    return MakeOutcome();
  }

 private:
  absl::Duration Now() const { return options_.clock->Monotonic(); }

  Status StartRanks() {
    for (size_t rank = 0; rank < options_.ranks.size(); ++rank) {
      if (rank < options_.survivors.size() && options_.survivors[rank]) {
        links_.push_back(*std::move(options_.survivors[rank]));
        links_.back().Rejoin(options_.ranks[rank].argv[1], Now());
        continue;
      }
      RankStarter* elsewhere =
          rank < options_.elsewhere.size() ? options_.elsewhere[rank] : nullptr;
      StatusOr<RankLink> link =
          elsewhere == nullptr
              ? RankLink::Start(options_.ranks[rank], Now())
              : elsewhere->Start(static_cast<int>(rank), options_.ranks[rank], Now());
      if (!link.ok()) return AddContext(link.status(), Cat("rank ", rank));
      links_.push_back(*std::move(link));
    }
    return absl::OkStatus();
  }

  // One round: wait for something to happen, then handle all of it.
  void Turn() {
    std::vector<pollfd> fds;
    std::vector<size_t> owners;  // of each entry but the interrupt's
    for (size_t rank = 0; rank < links_.size(); ++rank) {
      RankLink& link = links_[rank];
      if (link.ended) continue;
      fds.push_back({link.process().ended_fd(), POLLIN, 0});
      owners.push_back(rank);
      if (!link.open()) continue;
      const short events = link.wants_write() ? POLLIN | POLLOUT : POLLIN;
      fds.push_back({link.channel_fd(), events, 0});
      owners.push_back(rank);
    }
    if (options_.interrupt_fd >= 0) fds.push_back({options_.interrupt_fd, POLLIN, 0});
    if (options_.mailbox != nullptr) fds.push_back({options_.mailbox->fd(), POLLIN, 0});
    if (::poll(fds.data(), fds.size(), PollTimeoutMs()) < 0 && errno != EINTR) {
      Fail({.rank = -1, .symptom = Symptom::kError, .error = Internal("poll: ", ErrnoText(errno))});
      KillAll();
    }
    for (size_t i = 0; i < owners.size(); ++i) {
      if (fds[i].revents != 0) Serve(owners[i]);
    }
    if (options_.interrupt_fd >= 0 && fds[owners.size()].revents != 0) TakeInterrupts();
    if (options_.mailbox != nullptr && fds.back().revents != 0) TakeMail();
    for (const RendezvousStore::Reply& reply : store_.Expire(Now())) Deliver(reply);
    CheckStalls();
    CheckDeadlines();
  }

  int PollTimeoutMs() const {
    absl::Duration next = std::min({store_.NextDeadline(), close_at_, kill_at_});
    for (const RankLink& link : links_) {
      if (link.ended) continue;
      next = std::min(
          next, link.process().IsReachable() ? SilenceDeadline(link) : Now() + kUnreachablePause);
    }
    const absl::Duration wait =
        std::clamp(next - Now(), absl::ZeroDuration(), absl::Minutes(1));  // `next` may be infinite
    return static_cast<int>(absl::ToInt64Milliseconds(wait)) + 1;
  }

  // Reads the rank's messages before its end is judged, so that a `done` or an `error` is never
  // lost.
  void Serve(size_t rank) {
    RankLink& link = links_[rank];
    const std::optional<ExitState> exit_state = link.process().Poll();
    std::vector<Json> messages;
    const Status received = link.Receive(&messages);
    for (const Json& message : messages) {
      const Status handled = Handle(rank, message);
      if (!handled.ok()) FailRank(rank, Symptom::kBadMessage, handled);
    }
    if (received.code() == absl::StatusCode::kDataLoss && !exit_state.has_value()) {
      FailRank(rank, Symptom::kBadMessage, received);
    }
    if (!received.ok()) {
      link.Close();
      link.last_heard = Now();
    }
    link.Flush();
    if (exit_state.has_value() && !link.ended) OnExit(rank, *exit_state);
  }

  Status Handle(size_t rank, const Json& message) {
    RankLink& link = links_[rank];
    link.last_heard = Now();
    const int number = static_cast<int>(rank);
    const std::string kind = message["kind"].get<std::string>();
    if (kind == "step") {
      ANAM_ASSIGN_OR_RETURN(const contract::StepReport report,
                            contract::StepReportFromJson(message));
      link.last_step = report.step;
      step_times_.Add(absl::Seconds(report.seconds));
      observer_.OnStep(number, report);
    } else if (kind.starts_with("store_")) {
      ANAM_ASSIGN_OR_RETURN(const std::vector<RendezvousStore::Reply> replies,
                            store_.Handle(number, message, Now()));
      for (const RendezvousStore::Reply& reply : replies) Deliver(reply);
    } else if (kind == "eval") {
      ANAM_ASSIGN_OR_RETURN(const contract::EvalReport report,
                            contract::EvalReportFromJson(message));
      observer_.OnEval(number, report);
    } else if (kind == "started") {
      observer_.OnStarted(number, message);
    } else if (kind == "commit") {
      CommitRequest request;
      ANAM_ASSIGN_OR_RETURN(request.step, JsonInt(message, "step", "commit"));
      ANAM_ASSIGN_OR_RETURN(request.name, JsonString(message, "name", "commit"));
      ANAM_ASSIGN_OR_RETURN(request.sha256, JsonString(message, "sha256", "commit"));
      ++commits_pending_;
      const std::optional<CommitAnswer> answer = observer_.OnCommit(number, request);
      if (answer.has_value()) AnswerCommit(rank, request.step, *answer);
    } else if (kind == "saved") {
      ANAM_ASSIGN_OR_RETURN(const int64_t step, JsonInt(message, "step", "saved"));
      ANAM_ASSIGN_OR_RETURN(const std::string path, JsonString(message, "path", "saved"));
      ANAM_ASSIGN_OR_RETURN(const double seconds, JsonNumber(message, "seconds", "saved"));
      observer_.OnSaved(number, step, path, seconds);
    } else if (kind == "done") {
      ANAM_ASSIGN_OR_RETURN(link.done, contract::DoneReportFromJson(message));
      link.has_done = true;
    } else if (kind == "error") {
      const Status error = contract::StatusFromErrorMessage(message);
      FailRank(rank, IsPeerError(error) ? Symptom::kPeerError : Symptom::kError, error);
    } else if (kind == "idle") {
      link.idle = true;
    } else if (kind != "alive") {
      return InvalidArgument("channel: unknown message '", kind, "'");
    }
    return absl::OkStatus();
  }

  static bool IsPeerError(const Status& error) {
    return error.code() == absl::StatusCode::kUnavailable ||
           error.code() == absl::StatusCode::kAborted;
  }

  void Deliver(const RendezvousStore::Reply& reply) {
    links_[static_cast<size_t>(reply.rank)].Send(reply.message);
  }

  void OnExit(size_t rank, const ExitState& state) {
    RankLink& link = links_[rank];
    link.ended = true;
    link.exit_state = state;
    link.Close();
    store_.Forget(static_cast<int>(rank));
    const bool clean = state.signal == 0 &&
                       (state.exit_code == 0 || (stopping_ && state.exit_code == kExitInterrupted));
    if (link.has_failed || closed_ || killed_ || (clean && link.has_done)) return;
    FailRank(rank, state.signal != 0 ? Symptom::kSignal : Symptom::kExit, absl::OkStatus());
    evidence_.back().signal = state.signal;
    evidence_.back().exit_code = state.exit_code;
  }

  void FailRank(size_t rank, Symptom symptom, const Status& error) {
    RankLink& link = links_[rank];
    if (closed_ || killed_) return;  // what breaks now breaks because of us
    link.has_failed = true;
    Fail({.rank = static_cast<int>(rank),
          .symptom = symptom,
          .last_step = link.last_step,
          .error = error});
    if (symptom == Symptom::kBadMessage || symptom == Symptom::kStalled) link.process().Kill();
  }

  // Records the evidence; the others are stopped at once when its cause is plain, else after a
  // moment in which a heavier symptom of another rank can show.
  void Fail(Evidence evidence) {
    const bool plain = evidence.symptom < Symptom::kError;
    evidence_.push_back(std::move(evidence));
    close_at_ = std::min(close_at_, plain ? Now() : Now() + options_.blame_patience);
  }

  void CheckDeadlines() {
    if (!closed_ && Now() >= close_at_) {
      closed_ = true;
      close_at_ = absl::InfiniteDuration();
      keeping_ = options_.keep_survivors && !stopping_;
      if (keeping_) {  // channels stay open: ranks that lose their peer say so
        kill_at_ = Now() + std::max(options_.survivor_patience, 1.5 * step_times_.Median());
      } else {
        kill_at_ = Now() + options_.close_patience;
        for (RankLink& link : links_) link.Close();
      }
    }
    if (Now() >= kill_at_) KillAll();
  }

  void KillAll() {
    closed_ = true;
    close_at_ = kill_at_ = absl::InfiniteDuration();
    for (RankLink& link : links_) {
      if (!link.ended && !IsKept(link)) link.process().Kill();
    }
  }

  bool IsKept(const RankLink& link) const { return keeping_ && !killed_ && link.idle; }

  absl::Duration SilenceDeadline(const RankLink& link) const {
    if (closed_ || commits_pending_ > 0) return absl::InfiniteDuration();
    const bool leaving = link.has_done || !link.open();  // only the end of the process is awaited
    return link.last_heard +
           (leaving ? options_.exit_patience : StallLimit(options_.stall, step_times_));
  }

  // All ranks fall silent when one hangs in a collective: the one furthest behind is named, before
  // others one that is stopped.
  void CheckStalls() {
    std::optional<size_t> culprit;
    bool culprit_is_stopped = false;
    for (size_t rank = 0; rank < links_.size(); ++rank) {
      RankLink& link = links_[rank];
      if (!link.ended && !link.process().IsReachable()) link.last_heard = Now();
      if (link.ended || Now() < SilenceDeadline(link)) continue;
      const bool is_stopped = link.process().IsStopped();
      const bool worse =
          !culprit.has_value() || (is_stopped && !culprit_is_stopped) ||
          (is_stopped == culprit_is_stopped && link.last_step < links_[*culprit].last_step);
      if (!worse) continue;
      culprit = rank;
      culprit_is_stopped = is_stopped;
    }
    if (!culprit.has_value()) return;
    // When the first becomes silent for too long, its peers are about to; a stopped one among them
    // is the cause.
    for (size_t rank = 0; rank < links_.size() && !culprit_is_stopped; ++rank) {
      if (links_[rank].ended || !links_[rank].process().IsStopped()) continue;
      culprit = rank;
      culprit_is_stopped = true;
    }
    const absl::Duration silence = Now() - links_[*culprit].last_heard;
    FailRank(*culprit, Symptom::kStalled,
             DeadlineExceeded("silent for ", absl::ToInt64Seconds(silence), " s",
                              culprit_is_stopped ? ", the process is stopped" : ""));
  }

  void AnswerCommit(size_t rank, int64_t step, const CommitAnswer& answer) {
    if (commits_pending_ == 0) return;  // a question of the epoch before
    --commits_pending_;
    for (RankLink& link : links_) link.last_heard = Now();  // all may have waited for the answer
    links_[rank].Send({{"kind", "commit_reply"},
                       {"step", step},
                       {"granted", answer.granted},
                       {"reason", answer.reason}});
  }

  void TakeInterrupts() {
    char buffer[128];
    while (::read(options_.interrupt_fd, buffer, sizeof buffer) > 0) Interrupt();
  }

  void TakeMail() {
    const Mailbox::Mail mail = options_.mailbox->Take();
    for (const Mailbox::Answer& answer : mail.answers) {
      AnswerCommit(static_cast<size_t>(answer.rank), answer.step, answer.answer);
    }
    // A node that is to end has the gang save, as an interrupt does; the interrupt that the same
    // stop sends to this node is no second one.
    if (mail.node_leaves && !stopping_) {
      Interrupt();
      spare_interrupts_ = 1;
    }
    for (int i = 0; i < mail.interrupts; ++i) {
      spare_interrupts_ > 0 ? static_cast<void>(--spare_interrupts_) : Interrupt();
    }
  }

  void Interrupt() {
    if (stopping_) {
      killed_ = true;
      KillAll();
      return;
    }
    stopping_ = true;
    const Json stop = {{"kind", "stop"},
                       {"grace_ms", absl::ToInt64Milliseconds(options_.stop_grace)}};
    for (RankLink& link : links_) link.Send(stop);
    observer_.OnStopping();
  }

  Outcome MakeOutcome() {
    Outcome outcome;
    bool all_done = true;
    bool finished = true;
    for (const RankLink& link : links_) {
      outcome.last_step = std::max(outcome.last_step, link.last_step);
      all_done = all_done && link.has_done;
      finished = finished && link.exit_state.signal == 0 && link.exit_state.exit_code == 0;
    }
    if (all_done) {
      for (const RankLink& link : links_) outcome.done.push_back(link.done);
    }
    if (killed_) {
      outcome.status = Aborted("killed by a second interrupt");
    } else if (!evidence_.empty()) {
      const Evidence& culprit = PickCulprit(evidence_);
      outcome.culprit = culprit.rank;
      outcome.status = Describe(culprit);
    } else if (!finished) {
      outcome.saved = all_done;
      outcome.status = Aborted("interrupted");
    }
    if (std::any_of(links_.begin(), links_.end(),
                    [this](const RankLink& link) { return IsKept(link) && !link.ended; })) {
      for (RankLink& link : links_) {
        const bool kept = IsKept(link) && !link.ended;
        outcome.survivors.push_back(kept ? std::optional<RankLink>(std::move(link)) : std::nullopt);
      }
    }
    return outcome;
  }

  GangOptions options_;
  Observer& observer_;
  std::vector<RankLink> links_;
  RendezvousStore store_;
  StepTimes step_times_;
  std::vector<Evidence> evidence_;
  absl::Duration close_at_ = absl::InfiniteDuration();  // when the channels are closed
  absl::Duration kill_at_ = absl::InfiniteDuration();   // when who is still alive is killed
  int commits_pending_ = 0;  // unanswered: silence is not the ranks' fault
  bool stopping_ = false;    // the ranks were asked to stop
  int spare_interrupts_ = 0;
  bool closed_ = false;   // the gang is over, no more evidence is taken
  bool keeping_ = false;  // its survivors are waited for
  bool killed_ = false;   // by the second interrupt
};

}  // namespace

Outcome RunGang(GangOptions options, Observer& observer) {
  return Loop(std::move(options), observer).Run();
}

}  // namespace anamnesis::gang
