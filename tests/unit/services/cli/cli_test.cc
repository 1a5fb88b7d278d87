// SPDX-License-Identifier: Apache-2.0
// The program as a user meets it: arguments in, exit code, standard output and standard error out.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "common/process/identity.h"
#include "services/cli/verbs.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/common/repository_files.h"

extern char** environ;

namespace anamnesis::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Slurp;
using testing::SourceFile;
using ::testing::StartsWith;

struct Outcome {
  int code = -1;
  std::string out, err;
};

std::string Program() {
  const char* folder = std::getenv("ANAMNESIS_BIN_DIR");
  return std::string(folder == nullptr ? "." : folder) + "/anamnesis";
}

Outcome RunProgram(const std::string& program, std::vector<std::string> words) {
  const TemporaryFolder folder;
  words.insert(words.begin(), program);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const std::string out = folder.File("out"), err = folder.File("err");
  ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT, 0600);
  ::posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT, 0600);
  pid_t child = -1;
  const int error = ::posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return {};
  int status = 0;
  ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, Slurp(out), Slurp(err)};
}

Outcome Anamnesis(const std::vector<std::string>& words) { return RunProgram(Program(), words); }

// A copy of the program in a folder of its own, with a script that stands for a sibling.
std::string CopyBeside(const TemporaryFolder& folder, const std::string& sibling,
                       const std::string& script) {
  std::filesystem::copy_file(Program(), folder.File("anamnesis"));
  if (!sibling.empty()) {
    std::filesystem::permissions(folder.Write(sibling, script), std::filesystem::perms::owner_all);
  }
  return folder.File("anamnesis");
}

TEST(Help, ListsWhatIsBuiltAndNothingElse) {
  const Outcome outcome = Anamnesis({"--help"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  for (const Verb& verb : Verbs()) {
    const std::string line = "\n  " + std::string(verb.name) + " ";
    EXPECT_THAT(outcome.out, verb.built() ? ::testing::Matcher<std::string>(HasSubstr(line))
                                          : ::testing::Matcher<std::string>(Not(HasSubstr(line))));
  }
  EXPECT_THAT(outcome.out, HasSubstr("Example"));
}

TEST(Help, OfConfigHasAnExample) {
  const Outcome outcome = Anamnesis({"config", "--help"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("explain"), HasSubstr("schema"), HasSubstr("check"),
                                 HasSubstr("Example")));
  EXPECT_EQ(Anamnesis({"config", "check", "--help"}).code, 0);
  EXPECT_THAT(Anamnesis({"version", "--help"}).out, HasSubstr("Example"));
}

TEST(Version, IsPrinted) {
  EXPECT_THAT(Anamnesis({"version"}).out, StartsWith("anamnesis 0."));
  EXPECT_THAT(Anamnesis({"--version"}).out, StartsWith("anamnesis 0."));
  EXPECT_EQ(Anamnesis({"version", "x"}).code, 2);
}

TEST(Usage, ErrorsExitWith2AndAHint) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"--nonsense"},
                                             {"rum"},
                                             {"config"},
                                             {"config", "explain"},
                                             {"config", "nonsense"},
                                             {"config", "schema", "--format", "pdf"},
                                             {"config", "check", "a.yaml"},
                                             {"config", "check", "a.yaml", "--task", "pretrain"}}) {
    const Outcome outcome = Anamnesis(words);
    EXPECT_EQ(outcome.code, 2) << ::testing::PrintToString(words);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, AllOf(StartsWith("error: "), HasSubstr("--help'")));
  }
}

TEST(Usage, AnUnknownCommandNamesTheNearest) {
  EXPECT_THAT(Anamnesis({"rum"}).err, HasSubstr("unknown command 'rum', did you mean run?"));
  EXPECT_THAT(Anamnesis({"prepair"}).err, HasSubstr("did you mean prepare?"));
  EXPECT_THAT(Anamnesis({"xyzzy"}).err, Not(HasSubstr("did you mean")));
}

TEST(Usage, CommandsThatAreNotBuiltSaySo) {
  for (const Verb& verb : Verbs()) {
    if (verb.built()) continue;
    const Outcome outcome = Anamnesis({std::string(verb.name), "x"});
    EXPECT_EQ(outcome.code, 6) << verb.name;
    EXPECT_THAT(outcome.err, HasSubstr(std::string(verb.name) + ": this command is not built yet"));
  }
}

TEST(Usage, NoColourWhereThereIsNoTerminal) {
  EXPECT_THAT(Anamnesis({"rum"}).err, Not(HasSubstr("\033[")));
}

TEST(Sibling, GetsTheVerbAndItsArgumentsAndGivesItsExitCode) {
  const TemporaryFolder folder;
  const std::string program =
      CopyBeside(folder, "anamnesis-prep", "#!/bin/sh\nfor w; do echo \"<$w>\"; done\nexit 7\n");
  const Outcome outcome = RunProgram(program, {"render", "a b.yaml", "--subject", "", "--help"});
  EXPECT_EQ(outcome.code, 7);
  EXPECT_EQ(outcome.out, "<render>\n<a b.yaml>\n<--subject>\n<>\n<--help>\n");
}

TEST(Sibling, RunIsTheWorker) {
  const TemporaryFolder folder;
  const std::string program = CopyBeside(folder, "anamnesis-worker", "#!/bin/sh\necho \"$@\"\n");
  const Outcome outcome = RunProgram(program, {"run", "--task", "pretrain_llm"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "run --task pretrain_llm\n");
}

TEST(Sibling, AMissingProgramIsNamed) {
  const TemporaryFolder folder;
  const Outcome outcome = RunProgram(CopyBeside(folder, "", ""), {"synth", "--out", "x"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("anamnesis-prep is not in "));
}

TEST(Sibling, UpIsTheCoordinatorWithTheArgumentsAlone) {
  const TemporaryFolder folder;
  const std::string program =
      CopyBeside(folder, "anamnesis-coordinator", "#!/bin/sh\necho \"$@\"\n");
  EXPECT_EQ(RunProgram(program, {"up", "--slots", "2"}).out, "--slots 2\n");
}

TEST(Sibling, CheckpointVerifyIsTheWorkers) {
  const TemporaryFolder folder;
  const std::string program = CopyBeside(folder, "anamnesis-worker", "#!/bin/sh\necho \"$@\"\n");
  EXPECT_EQ(RunProgram(program, {"checkpoint", "verify", "out/c"}).out,
            "verify-checkpoint out/c\n");
}

TEST(Usage, AWrongFlagOrValueOfAVerbExitsWith2AndAHint) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"submit"},
           {"submit", "a.yaml", "--task", "nonsense"},
           {"submit", "a.yaml", "--task", "prepare", "--ranks", "0"},
           {"list", "--state", "nonsense"},
           {"list", "-o", "pdf"},
           {"get"},
           {"get", "a/b"},
           {"wait", "1", "--timeout", "soon"},
           {"wait", "1", "--coordinator", "nonsense"},
           {"logs", "1", "--rank", "-1"},
           {"cancel", "1", "--grace", "-3s"},
           {"checkpoint"},
           {"down", "now"}}) {
    const Outcome outcome = Anamnesis(words);
    EXPECT_EQ(outcome.code, 2) << ::testing::PrintToString(words);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, AllOf(StartsWith("error: "), HasSubstr("--help'")));
  }
}

TEST(Help, OfEachVerbHasAnExample) {
  for (const Verb& verb : Verbs()) {
    if (verb.command == nullptr) continue;
    const Outcome outcome = Anamnesis({std::string(verb.name), "--help"});
    EXPECT_EQ(outcome.code, 0) << verb.name;
    EXPECT_THAT(outcome.out, HasSubstr(Cat("Example: anamnesis ", verb.name)));
  }
}

TEST(Coordinator, ThatIsNotThereIsNamedWithWhatToDo) {
  const TemporaryFolder folder;
  const std::string address = "unix:" + folder.File("s");
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"list"}, {"get", "1"}, {"wait", "1"}, {"watch"}}) {
    std::vector<std::string> all = words;
    all.insert(all.end(), {"--coordinator", address});
    const Outcome outcome = Anamnesis(all);
    EXPECT_EQ(outcome.code, 75);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, Cat("error: no coordinator at ", address,
                               " (no such file or directory); start one with 'anamnesis up'\n"));
  }
}

// A process that stands for the coordinator of a data directory.
class StandIn {
 public:
  StandIn(const TemporaryFolder& folder, bool ignores_interrupt) {
    std::vector<std::string> words = {"sleep", "60"};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    // What is ignored stays ignored in the child.
    if (ignores_interrupt) ::signal(SIGINT, SIG_IGN);
    ::posix_spawnp(&pid_, argv[0], nullptr, nullptr, argv.data(), environ);
    ::signal(SIGINT, SIG_DFL);
    folder.Write("coordinator.json",
                 Cat(R"({"pid":)", pid_, R"(,"start_ticks":)", IdentityOf(pid_)->start_ticks,
                     R"(,"address":"unix:)", folder.File("s"), R"("})"));
  }
  ~StandIn() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_ = -1;
};

TEST(Down, InterruptsTheCoordinatorAndWaitsForItsEnd) {
  const TemporaryFolder folder;
  EXPECT_EQ(Anamnesis({"down", "--data-dir", folder.path()}).code, 3);
  const StandIn coordinator(folder, false);
  const Outcome outcome = Anamnesis({"down", "--data-dir", folder.path()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("the coordinator has ended"));
  EXPECT_EQ(Anamnesis({"down", "--data-dir", folder.path()}).code, 3);
}

TEST(Down, GivesUpAfterItsTimeoutAndInterruptsOnlyOnce) {
  const TemporaryFolder folder;
  const StandIn coordinator(folder, true);
  for (int i = 0; i < 2; ++i) {
    const Outcome outcome = Anamnesis({"down", "--data-dir", folder.path(), "--timeout", "200ms"});
    EXPECT_EQ(outcome.code, 7) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("has not ended within 200ms; it goes on saving"));
  }
}

TEST(Config, ExplainsAKey) {
  EXPECT_THAT(Anamnesis({"config", "explain", "training.lanes"}).out, HasSubstr("power of two"));
  const Outcome unknown = Anamnesis({"config", "explain", "training.lane"});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean training.lanes?"));
}

TEST(Config, PrintsTheSchemas) {
  EXPECT_THAT(Anamnesis({"config", "schema"}).out, StartsWith("{"));
  EXPECT_EQ(Anamnesis({"config", "schema", "--format", "markdown"}).out,
            Slurp(SourceFile("docs/configuration.md")));
}

TEST(Config, ChecksAFile) {
  const std::string path = SourceFile("configs/jobs/first_light.yaml");
  const Outcome good = Anamnesis({"config", "check", path, "--task", "pretrain_llm"});
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(good.out, path + ": correct for pretrain_llm\n");
  EXPECT_THAT(good.err, HasSubstr("note: training.framework: unsloth"));
  EXPECT_THAT(good.err, HasSubstr("tip: training.learning_rate: 0.002 is outside"));
  const Outcome advised = Anamnesis({"config", "check", path, "--task", "pretrain_llm", "--set",
                                     "training.learning_rate=2e-4", "--set", "lora.r=64", "--set",
                                     "lora.use_rslora=false"});
  EXPECT_EQ(advised.code, 0);
  EXPECT_THAT(advised.err, AllOf(HasSubstr("tip: lora.use_rslora: at r 64"),
                                 Not(HasSubstr("training.learning_rate"))));
  const Outcome bad =
      Anamnesis({"config", "check", path, "--task", "pretrain_llm", "--set", "training.epoch=3"});
  EXPECT_EQ(bad.code, 6);
  EXPECT_EQ(bad.out, "");
  EXPECT_THAT(bad.err, HasSubstr("--set: training.epoch: unknown key"));
  const Outcome resolved = Anamnesis({"config", "check", path, "--task", "pretrain_llm", "--set",
                                      "training.epochs=9", "--set", "lora.r=3", "--resolved"});
  EXPECT_THAT(resolved.out, AllOf(HasSubstr("\"epochs\": 9"), HasSubstr("\"r\": 3")));
}

TEST(Config, RefusesTheSeedsFileWithWhatIsNotBuilt) {
  const Outcome outcome =
      Anamnesis({"config", "check", SourceFile("configs/jobs/llm_pretrain.yaml"), "--task",
                 "pretrain_llm", "--set", "audit=strict"});
  EXPECT_EQ(outcome.code, 6);
  EXPECT_THAT(outcome.err, HasSubstr("audit: strict is not built yet"));
}

}  // namespace
}  // namespace anamnesis::cli
