// SPDX-License-Identifier: Apache-2.0
// The launcher with programs that answer as Slurm's do where a real Slurm cannot be brought to it:
// hanging, with an accounting, twice the same. tests/integration/slurm_test.py has the real one.
#include "services/launch/slurm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "tests/support/temporary_folder.h"

namespace anamnesis::launch {
namespace {

using core::Reason;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr core::JobId kSlurmJob{17};

class SlurmLauncherTest : public ::testing::Test {
 protected:
  SlurmLauncherTest() {
    Program("sbatch", "echo 4711");
    Program("squeue", "cat " + folder_.File("queue"));
    Program("scancel", "echo \"$@\" >> " + folder_.File("cancelled"));
    Program("sacct", "cat " + folder_.File("accounts"));
    Queue("");
    folder_.Write("accounts", "");
    folder_.Write("slurm-identity", "0123456789abcdef\n");
    ::setenv("PATH", (folder_.File("bin") + ":/usr/bin:/bin").c_str(), 1);
  }

  // Renamed into place, as the queue below: the launcher may be reading the one before.
  void Program(const std::string& name, const std::string& script) {
    ::mkdir(folder_.File("bin").c_str(), 0700);
    const std::string fresh = folder_.Write("bin/new", "#!/bin/sh\n" + script + "\n");
    ::chmod(fresh.c_str(), 0700);
    ::rename(fresh.c_str(), folder_.File("bin/" + name).c_str());
  }
  // As squeue prints it.
  void Queue(const std::string& lines) {
    folder_.Write("queue.new", lines);
    ::rename(folder_.File("queue.new").c_str(), folder_.File("queue").c_str());
  }
  std::string Line(int64_t id, const std::string& state, const std::string& reason = "None") {
    const std::string tag = "anamnesis-17-2-0123456789abcdef";
    return Cat(id, "|", state, "|", tag, "|", tag, "|", reason, "\n");
  }

  void Start(SlurmOptions options = {}) {
    options.poll_interval = absl::Milliseconds(20);
    auto launcher = SlurmLauncher::Create(
        options, {.data_directory = folder_.path(), .worker_program = "/bin/worker"});
    ASSERT_TRUE(launcher.ok()) << launcher.status();
    launcher_ = *std::move(launcher);
  }
  void Launch() {
    LaunchRequest request;
    request.job = kSlurmJob;
    request.epoch = 2;
    request.token = "a secret";
    request.worker_address = "h:1";
    launcher_->Launch(request);
  }
  // The next event of that kind; others before it are passed over.
  template <typename Event>
  Event Next() {
    for (;;) {
      for (; next_ < events_.size(); ++next_) {
        if (const auto* event = std::get_if<Event>(&events_[next_])) {
          ++next_;
          return *event;
        }
      }
      std::vector<pollfd> fds;
      launcher_->AddDescriptors(&fds);
      if (::poll(fds.data(), fds.size(), 10'000) != 1) {
        ADD_FAILURE() << "no such event within 10 s";
        return {};
      }
      events_ = launcher_->Observe();
      next_ = 0;
    }
  }
  std::string Cancelled() { return ReadFile(folder_.File("cancelled")).value_or(""); }
  void WaitForCancel(const std::string& words) {
    while (Cancelled().find(words) == std::string::npos) std::this_thread::yield();
  }

  TemporaryFolder folder_;
  std::unique_ptr<SlurmLauncher> launcher_;
  std::vector<core::Event> events_;
  size_t next_ = 0;
};

TEST_F(SlurmLauncherTest, TellsTheWayOfAJob) {
  Start();
  launcher_->Reconcile({});
  Queue(Line(4711, "PENDING", "Resources"));
  Launch();
  EXPECT_EQ(Next<core::Launched>().worker.handle, "slurm:4711");
  EXPECT_EQ(Next<core::EngineWaits>().message, "slurm job 4711 waits: Resources");
  EXPECT_TRUE(launcher_->busy());
  Queue(Line(4711, "NODE_FAIL"));
  const auto gone = Next<core::WorkerGone>();
  EXPECT_EQ(gone.epoch, 2);
  EXPECT_EQ(gone.reason, Reason::kNodeLost);
  EXPECT_FALSE(launcher_->busy());
  EXPECT_FALSE(launcher_->Stop(kSlurmJob, true));
}

TEST_F(SlurmLauncherTest, RefusedIsNotUnreachable) {
  Start();
  launcher_->Reconcile({});
  Program("sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1");
  Launch();
  auto failed = Next<core::LaunchFailed>();
  EXPECT_EQ(failed.reason, Reason::kInvalidInput);
  EXPECT_EQ(failed.message, "slurm: invalid partition specified: x");
  Program("sbatch", "echo 'sbatch: error: Unable to contact slurm controller' >&2; exit 1");
  Launch();
  failed = Next<core::LaunchFailed>();
  EXPECT_EQ(failed.reason, Reason::kEngineUnreachable);
  EXPECT_TRUE(Next<core::EngineSeen>().reachable);  // squeue answers
}

TEST_F(SlurmLauncherTest, KillsASbatchThatHangsAndEndsWhatItHadSubmitted) {
  Start({.patience = absl::Milliseconds(200)});
  launcher_->Reconcile({});
  Program("sbatch", "sleep 1000");
  Launch();
  const auto failed = Next<core::LaunchFailed>();
  EXPECT_EQ(failed.reason, Reason::kEngineUnreachable);
  EXPECT_THAT(failed.message, HasSubstr("no answer within 200ms"));
  Queue(Line(4710, "RUNNING"));
  WaitForCancel("4710");
}

TEST_F(SlurmLauncherTest, AsksTheAccountingForAJobThatSlurmctldForgot) {
  Start();
  launcher_->Reconcile({});
  folder_.Write("accounts", "4711|OUT_OF_MEMORY\n");
  Launch();
  EXPECT_EQ(Next<core::WorkerGone>().reason, Reason::kOutOfMemory);
}

TEST_F(SlurmLauncherTest, OneThatNobodyKnowsIsLost) {
  Start();
  launcher_->Reconcile({});
  Launch();
  const auto gone = Next<core::WorkerGone>();
  EXPECT_EQ(gone.reason, Reason::kWorkerLost);
  EXPECT_EQ(gone.message, "slurm job 4711 is forgotten by Slurm");
}

TEST_F(SlurmLauncherTest, ConcludesNothingFromSilence) {
  Start();
  launcher_->Reconcile({});
  Queue(Line(4711, "PENDING", "Priority"));
  Launch();
  Next<core::EngineWaits>();
  Program("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
  const auto seen = Next<core::EngineSeen>();
  EXPECT_FALSE(seen.reachable);
  EXPECT_THAT(seen.message, HasSubstr("Unable to contact slurm controller"));
  EXPECT_TRUE(launcher_->busy());
  Program("squeue", "cat " + folder_.File("queue"));
  EXPECT_TRUE(Next<core::EngineSeen>().reachable);
}

TEST_F(SlurmLauncherTest, TakesUpWhatRunsAndEndsWhatIsNobodys) {
  Queue(Line(4711, "RUNNING") + Line(4712, "RUNNING") + Line(4713, "COMPLETED"));
  Start();
  core::WorkerProcess worker;
  worker.handle = "slurm:4711";
  launcher_->Reconcile({{.job = kSlurmJob, .epoch = 2, .worker = worker}});
  WaitForCancel("4712");
  EXPECT_THAT(Cancelled(), Not(HasSubstr("4711")));
  EXPECT_THAT(Cancelled(), Not(HasSubstr("4713")));
  Queue(Line(4711, "COMPLETED"));
  EXPECT_EQ(Next<core::WorkerGone>().message, "slurm job 4711 has ended");
}

TEST_F(SlurmLauncherTest, FindsASubmissionThatWasNotRecorded) {
  Queue(Line(4711, "RUNNING"));
  Start();
  launcher_->Reconcile({{.job = kSlurmJob, .epoch = 2, .worker = {}}});
  EXPECT_EQ(Next<core::Launched>().worker.handle, "slurm:4711");
  EXPECT_EQ(Cancelled(), "");
}

TEST_F(SlurmLauncherTest, TellsWhatWasNeverSubmitted) {
  Start();
  launcher_->Reconcile({{.job = kSlurmJob, .epoch = 2, .worker = {}},
                        {.job = core::JobId{18},
                         .epoch = 1,
                         .worker = {.host = "h", .boot_id = "b", .pid = 9, .start_ticks = 9}}});
  EXPECT_THAT(Next<core::WorkerGone>().message, HasSubstr("another launcher"));
  EXPECT_THAT(Next<core::WorkerGone>().message, HasSubstr("never given it"));
}

TEST_F(SlurmLauncherTest, AsksBeforeItEnds) {
  Queue(Line(4711, "RUNNING"));
  Start();
  launcher_->Reconcile({});
  Launch();
  Next<core::Launched>();
  EXPECT_TRUE(launcher_->Stop(kSlurmJob, /*at_once=*/false));
  WaitForCancel("--state=RUNNING --signal=TERM --quiet 4711\n");
  EXPECT_THAT(Cancelled(), Not(HasSubstr("KILL")));
  EXPECT_TRUE(launcher_->Stop(kSlurmJob, /*at_once=*/true));
  WaitForCancel("--signal=KILL --quiet 4711\n--quiet 4711\n");
  Queue(Line(4711, "CANCELLED"));
  EXPECT_EQ(Next<core::WorkerGone>().reason, Reason::kWorkerLost);
}

TEST_F(SlurmLauncherTest, LeavesNoSecretBehind) {
  Queue(Line(4711, "RUNNING"));
  Start();
  launcher_->Reconcile({});
  Launch();
  Next<core::Launched>();
  const auto names = ListDirectory(folder_.File("jobs/17"));
  ASSERT_EQ(names->size(), 2U);
  struct stat info {};
  for (const std::string& name : *names) {
    ASSERT_EQ(::stat(folder_.File("jobs/17/" + name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
    const std::string content = ReadFile(folder_.File("jobs/17/" + name)).value();
    EXPECT_EQ(content.find("a secret") != std::string::npos, name.ends_with(".token"));
  }
  Queue(Line(4711, "COMPLETED"));
  Next<core::WorkerGone>();
  EXPECT_THAT(*ListDirectory(folder_.File("jobs/17")), IsEmpty());
}

TEST_F(SlurmLauncherTest, SaysThatSlurmIsNotHere) {
  ::setenv("PATH", folder_.path().c_str(), 1);
  const auto launcher = SlurmLauncher::Create({}, {.data_directory = folder_.path()});
  EXPECT_EQ(launcher.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf(launcher.status()), HasSubstr("--launcher slurm: sbatch"));
}

TEST_F(SlurmLauncherTest, EndsWhileAProgramHangs) {
  Start();
  launcher_->Reconcile({});
  Launch();
  Next<core::Launched>();
  Program("squeue", Cat("touch ", folder_.File("hangs"), "; sleep 1000"));
  while (!PathExists(folder_.File("hangs"))) std::this_thread::yield();
  launcher_.reset();  // within the test's time
}

TEST(SlurmEnvironmentTest, DropsWhatChangesAnswers) {
  EXPECT_EQ(SlurmEnvironment({"HOME=/h", "SLURM_JOB_ID=3", "SLURM_CONF=/c", "SBATCH_PARTITION=x",
                              "SQUEUE_FORMAT=%i", "LC_ALL=de_DE", "ANAMNESIS_WORKER_TOKEN=t"}),
            (std::vector<std::string>{"HOME=/h", "SLURM_CONF=/c", "LC_ALL=C"}));
}

}  // namespace
}  // namespace anamnesis::launch
