// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/gang.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "common/io/lock.h"
#include "workers/gang/rank_environment.h"

namespace anamnesis::gang {
namespace {

using ::testing::HasSubstr;

class Recorder : public Observer {
 public:
  void OnStarted(int, const Json&) override { ++started; }
  void OnStep(int rank, const contract::StepReport& report) override {
    ++steps;
    if (interrupt_fd >= 0 && report.step == 1 && rank == 0) Interrupt();
  }
  void OnEval(int, const contract::EvalReport&) override {}
  std::optional<CommitAnswer> OnCommit(int rank, const CommitRequest& request) override {
    commits.push_back(request.name);
    const CommitAnswer answer{.granted = grant, .reason = grant ? "" : "stale"};
    if (late == nullptr) return answer;
    late->AnswerCommit(rank, request.step, answer);
    return std::nullopt;
  }
  void OnSaved(int, int64_t, const std::string&, double) override {}
  void OnStopping() override {
    ++stopping;
    if (interrupt_twice) Interrupt();
  }
  void Interrupt() {
    const uint64_t one = 1;
    EXPECT_EQ(::write(interrupt_fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }

  int started = 0, steps = 0, stopping = 0;
  int interrupt_fd = -1;
  bool interrupt_twice = false;
  bool grant = true;
  Mailbox* late = nullptr;  // answers go through it
  std::vector<std::string> commits;
};

GangOptions MakeGang(const std::vector<std::vector<std::string>>& scripts) {
  GangOptions options;
  const std::string program = std::string(std::getenv("ANAMNESIS_BIN_DIR")) + "/echo_rank";
  for (size_t rank = 0; rank < scripts.size(); ++rank) {
    SpawnOptions spawn{.argv = {program, std::to_string(rank)}, .environment = RankEnvironment({})};
    spawn.argv.insert(spawn.argv.end(), scripts[rank].begin(), scripts[rank].end());
    options.ranks.push_back(spawn);
  }
  return options;
}

void ExpectNoChildLeft() {
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(Gang, EndsWellWhenAllRanksAreDone) {
  Recorder recorder;
  const Outcome outcome = RunGang(MakeGang({{"steps:3", "done"}, {"steps:3", "done"}}), recorder);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(recorder.steps, 6);
  EXPECT_EQ(outcome.last_step, 3);
  ASSERT_EQ(outcome.done.size(), 2u);
  EXPECT_EQ(outcome.done[1].rank_tokens, 10);
  ExpectNoChildLeft();
}

TEST(Gang, ServesTheRendezvousOverTheChannels) {
  Recorder recorder;
  const Outcome outcome = RunGang(MakeGang({{"get:b=02", "set:a=01", "done"},
                                            {"set:b=02", "get:a=01", "wait:never:1", "done"}}),
                                  recorder);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
}

TEST(Gang, PassesCommitsToTheObserver) {
  Recorder recorder;
  EXPECT_TRUE(RunGang(MakeGang({{"commit:4", "done"}}), recorder).status.ok());
  EXPECT_THAT(recorder.commits, ::testing::ElementsAre("checkpoint-4"));
  recorder.grant = false;
  EXPECT_THAT(MessageOf(RunGang(MakeGang({{"commit:8", "done"}}), recorder).status),
              HasSubstr("code 23"));
}

TEST(Gang, TakesTheAnswerToACommitLater) {
  for (const bool grant : {true, false}) {
    const std::unique_ptr<Mailbox> mailbox = Mailbox::Create().value();
    Recorder recorder;
    recorder.late = mailbox.get();
    recorder.grant = grant;
    GangOptions options = MakeGang({{"commit:4", "done"}});
    options.mailbox = mailbox.get();
    EXPECT_EQ(RunGang(std::move(options), recorder).status.ok(), grant);
  }
}

TEST(Gang, IsInterruptedThroughTheMailbox) {
  const std::unique_ptr<Mailbox> mailbox = Mailbox::Create().value();
  mailbox->Interrupt();
  Recorder recorder;
  GangOptions options = MakeGang({{"await_stop"}});
  options.mailbox = mailbox.get();
  const Outcome outcome = RunGang(std::move(options), recorder);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(recorder.stopping, 1);
}

TEST(Gang, KeepsTheRankThatLostItsPeerForTheNextEpoch) {
  Recorder recorder;
  GangOptions first = MakeGang({{"rejoin", "steps:2", "done"}, {"kill:9"}});
  first.keep_survivors = true;
  Outcome lost = RunGang(std::move(first), recorder);
  EXPECT_EQ(lost.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(lost.culprit, 1);
  ASSERT_THAT(lost.survivors, ::testing::SizeIs(2));
  ASSERT_TRUE(lost.survivors[0].has_value());
  EXPECT_FALSE(lost.survivors[1].has_value());

  GangOptions next = MakeGang({{}, {"steps:2", "done"}});
  next.survivors = std::move(lost.survivors);
  const Outcome outcome = RunGang(std::move(next), recorder);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(recorder.steps, 4);
  EXPECT_THAT(outcome.done, ::testing::SizeIs(2));
}

TEST(Gang, KillsARankThatDoesNotSayThatItWaits) {
  Recorder recorder;
  GangOptions options = MakeGang({{"stubborn"}, {"kill:9"}});
  options.keep_survivors = true;
  options.survivor_patience = absl::Milliseconds(50);
  const Outcome outcome = RunGang(std::move(options), recorder);
  EXPECT_EQ(outcome.culprit, 1);
  EXPECT_TRUE(outcome.survivors.empty());
}

struct Breakage {
  const char* name;
  std::vector<std::vector<std::string>> scripts;
  int culprit;
  absl::StatusCode code;
  const char* text;
};

TEST(Gang, NamesTheCulpritAndLeavesNobodyBehind) {
  const Breakage rows[] = {
      {"killed",
       {{"steps:2", "hang"}, {"steps:2", "kill:9"}},
       1,
       absl::StatusCode::kUnavailable,
       "rank 1 was killed by signal 9 (Killed) after step 2"},
      {"crashed", {{"hang"}, {"kill:6"}, {"hang"}}, 1, absl::StatusCode::kInternal, "signal 6"},
      {"exited",
       {{"hang"}, {"steps:1", "exit:3"}},
       1,
       absl::StatusCode::kInternal,
       "rank 1 exited with code 3 after step 1 without finishing"},
      {"exited with 0",
       {{"exit:0"}, {"hang"}},
       0,
       absl::StatusCode::kInternal,
       "code 0 before its first step"},
      {"error",
       {{"error:no such tensor"}, {"hang"}},
       0,
       absl::StatusCode::kInternal,
       "rank 0 before its first step: no such tensor"},
      {"the peers' complaints come first",
       {{"peer_error"}, {"set:x=00", "kill:9"}, {"peer_error"}},
       1,
       absl::StatusCode::kUnavailable,
       "rank 1 was killed"},
      {"garbage",
       {{"garbage", "hang"}, {"hang"}},
       0,
       absl::StatusCode::kDataLoss,
       "channel: frame of"},
      {"unknown message",
       {{"hang"}, {"bad_kind", "hang"}},
       1,
       absl::StatusCode::kInvalidArgument,
       "unknown message 'narrative'"},
      {"stubborn peer",
       {{"stubborn"}, {"kill:9"}},
       1,
       absl::StatusCode::kUnavailable,
       "rank 1 was killed"},
  };
  for (const Breakage& row : rows) {
    Recorder recorder;
    GangOptions options = MakeGang(row.scripts);
    options.close_patience = absl::Milliseconds(200);
    const Outcome outcome = RunGang(std::move(options), recorder);
    EXPECT_EQ(outcome.culprit, row.culprit) << row.name;
    EXPECT_EQ(outcome.status.code(), row.code) << row.name;
    EXPECT_THAT(MessageOf(outcome.status), HasSubstr(row.text)) << row.name;
    EXPECT_TRUE(outcome.done.empty()) << row.name;
    ExpectNoChildLeft();
  }
}

TEST(Gang, KillsAndNamesARankThatFellSilent) {
  Recorder recorder;
  GangOptions options = MakeGang({{"steps:3", "hang"}, {"steps:2", "hang"}});
  options.stall.floor = absl::Milliseconds(300);
  const Outcome outcome = RunGang(std::move(options), recorder);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(outcome.culprit, 0);
  ExpectNoChildLeft();
}

TEST(Gang, NamesTheStoppedRankAmongSilentOnes) {
  Recorder recorder;
  GangOptions options = MakeGang({{"steps:3", "hang"}, {"steps:3", "stopped"}});
  options.stall.floor = absl::Milliseconds(300);
  const Outcome outcome = RunGang(std::move(options), recorder);
  EXPECT_EQ(outcome.culprit, 1);
  EXPECT_THAT(MessageOf(outcome.status), HasSubstr("the process is stopped"));
  ExpectNoChildLeft();
}

TEST(Gang, FirstInterruptLetsTheRanksSave) {
  Recorder recorder;
  const FileDescriptor interrupts(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  recorder.interrupt_fd = interrupts.get();
  GangOptions options = MakeGang({{"steps:1", "await_stop"}, {"steps:1", "await_stop"}});
  options.interrupt_fd = interrupts.get();
  const Outcome outcome = RunGang(std::move(options), recorder);
  EXPECT_EQ(ExitCodeOf(outcome.status), 130);
  EXPECT_TRUE(outcome.saved);
  EXPECT_EQ(recorder.stopping, 1);
  EXPECT_EQ(outcome.done.size(), 2u);
}

TEST(Gang, SecondInterruptKills) {
  Recorder recorder;
  const FileDescriptor interrupts(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  recorder.interrupt_fd = interrupts.get();
  recorder.interrupt_twice = true;
  GangOptions options = MakeGang({{"steps:1", "stubborn"}, {"stubborn"}});
  options.interrupt_fd = interrupts.get();
  const Outcome outcome = RunGang(std::move(options), recorder);
  EXPECT_EQ(ExitCodeOf(outcome.status), 130);
  EXPECT_FALSE(outcome.saved);
  ExpectNoChildLeft();
}

TEST(Gang, ReportsAProgramThatCannotBeStarted) {
  Recorder recorder;
  GangOptions options = MakeGang({{"hang"}});
  options.ranks.push_back({.argv = {"/nonexistent/rank"}});
  const Outcome outcome = RunGang(std::move(options), recorder);
  EXPECT_EQ(ExitCodeOf(outcome.status), 6);
  EXPECT_THAT(MessageOf(outcome.status), HasSubstr("rank 1: /nonexistent/rank: cannot start"));
  ExpectNoChildLeft();
}

TEST(Gang, LetsRanksInheritTheLock) {
  char path[] = "/tmp/anam-gang-lock-XXXXXX";
  const FileDescriptor created(::mkstemp(path));
  StatusOr<FileDescriptor> lock = LockPath(path, absl::ZeroDuration());
  ASSERT_TRUE(lock.ok());
  SpawnOptions spawn = MakeGang({{"stubborn"}}).ranks.front();
  spawn.argv.insert(spawn.argv.end(), {"--channel-fd", "9"});
  StatusOr<ChildProcess> child = ChildProcess::Spawn(spawn);
  ASSERT_TRUE(child.ok());
  lock->Reset();  // the parent is gone, the child still holds it
  EXPECT_EQ(ExitCodeOf(LockPath(path, absl::ZeroDuration()).status()), 5);
  child->Signal(SIGKILL);
  EXPECT_EQ(child->Wait().signal, SIGKILL);
  EXPECT_TRUE(LockPath(path, absl::ZeroDuration()).ok());
  ::unlink(path);
}

}  // namespace
}  // namespace anamnesis::gang
