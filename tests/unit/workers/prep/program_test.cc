// SPDX-License-Identifier: Apache-2.0
// The program anamnesis-prep as a process: arguments, streams, exit codes, memory.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>

#include "common/io/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/workers/prep/made_cohort.h"

namespace anamnesis::prep {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Outcome {
  int exit_code = -1;
  std::string out, err;
  int64_t peak_rss_kib = 0;
};

// Runs the program with stdout and stderr into files of `scratch`.
Outcome RunProgram(const MadeCohort& scratch, std::vector<std::string> arguments) {
  const char* bin = std::getenv("ANAMNESIS_BIN_DIR");
  arguments.insert(arguments.begin(), Cat(bin != nullptr ? bin : ".", "/anamnesis-prep"));
  const std::string out = scratch.Path("stdout"), err = scratch.Path("stderr");
  const pid_t child = ::fork();
  if (child == 0) {
    if (std::freopen(out.c_str(), "w", stdout) == nullptr ||
        std::freopen(err.c_str(), "w", stderr) == nullptr)
      ::_exit(126);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          .out = *ReadFile(out),
          .err = *ReadFile(err),
          .peak_rss_kib = usage.ru_maxrss};
}

std::string WriteConfig(const MadeCohort& cohort) {
  const config::DataSection data = cohort.Data();
  const std::string path = cohort.Path("job.yaml");
  WriteText(path,
            Cat("data:\n  data_dir: ", data.data_dir, "\n  vocab_filepath: ", data.vocab_filepath,
                "\n  labels_filepath: ", data.labels_filepath,
                "\n  medical_lookup_filepath: ", data.medical_lookup_filepath,
                "\n  lab_lookup_filepath: ", data.lab_lookup_filepath, "\n  cutoff_months: 1\n"));
  return path;
}

TEST(Program, PreparesValidatesAndRenders) {
  const MadeCohort cohort;
  const std::string config = WriteConfig(cohort);
  const Outcome prepared =
      RunProgram(cohort, {"prepare", config, "--out", cohort.Path("out"), "--jobs", "2"});
  EXPECT_EQ(prepared.exit_code, 0) << prepared.err;
  EXPECT_EQ(prepared.out, cohort.Path("out") + "\n");
  EXPECT_THAT(prepared.err, HasSubstr("total: 4 subjects, 17 events"));
  EXPECT_EQ(RunProgram(cohort, {"validate", cohort.Path("out")}).exit_code, 0);
  EXPECT_EQ(RunProgram(cohort, {"validate", config}).exit_code, 0);
  const Outcome rendered =
      RunProgram(cohort, {"render", config, "--split", "train", "--subject", "1"});
  EXPECT_EQ(rendered.out,
            "1\tAGE_decile 5, FEMALE, Diseases of the circulatory system, Glucose 5\n");
  EXPECT_THAT(rendered.err, IsEmpty());
  const Outcome cut = RunProgram(cohort, {"render", cohort.Path("out"), "--split", "train",
                                          "--subject", "3", "2", "--as-of", "1971-01-01"});
  EXPECT_EQ(cut.out, "3\tmmol/L\n2\tAGE_decile 5\n");
}

TEST(Program, EnsuresShardsInTheDataDirectory) {
  const MadeCohort cohort;
  const std::string config = WriteConfig(cohort);
  const std::vector<std::string> arguments = {"ensure",       config,       "--splits",
                                              "train,tuning", "--data-dir", cohort.Path("data")};
  const Outcome first = RunProgram(cohort, arguments);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr(cohort.Path("data/shards/")));
  const Outcome second = RunProgram(cohort, arguments);
  EXPECT_EQ(second.out, first.out);
  EXPECT_THAT(second.err, IsEmpty());
}

TEST(Program, SaysHowFarEnsureIs) {
  const MadeCohort cohort;
  const Outcome made =
      RunProgram(cohort, {"ensure", WriteConfig(cohort), "--splits", "train,tuning", "--data-dir",
                          cohort.Path("data"), "--progress"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  std::map<std::string, std::vector<uint64_t>> done, total;
  std::istringstream lines(made.out);
  std::string last;
  for (std::string line; std::getline(lines, line); last = line) {
    std::istringstream words(line);
    std::string word, phase;
    uint64_t so_far = 0, all = 0;
    if (!(words >> word >> phase >> so_far >> all)) continue;
    EXPECT_EQ(word, "progress");
    done[phase].push_back(so_far);
    total[phase].push_back(all);
  }
  EXPECT_THAT(last, HasSubstr(cohort.Path("data/shards/")));
  for (const char* phase : {"inputs", "shards"}) {
    ASSERT_FALSE(done[phase].empty()) << phase;
    EXPECT_TRUE(std::is_sorted(done[phase].begin(), done[phase].end())) << phase;
    EXPECT_EQ(done[phase].back(), total[phase].back()) << phase;
    EXPECT_EQ(total[phase].front(), total[phase].back()) << phase;
  }
  EXPECT_GT(total["inputs"][0], total["shards"][0]);  // the tables, too
  EXPECT_EQ(done["shards"][0], 0u);
}

TEST(Program, ExitsBySortOfError) {
  const MadeCohort cohort;
  const std::string config = WriteConfig(cohort);
  EXPECT_EQ(RunProgram(cohort, {}).exit_code, 2);
  EXPECT_EQ(RunProgram(cohort, {"frobnicate"}).exit_code, 2);
  EXPECT_EQ(RunProgram(cohort, {"prepare", config}).exit_code, 2);
  EXPECT_EQ(
      RunProgram(cohort, {"prepare", config, "--out", cohort.Path("o"), "--jobs", "0"}).exit_code,
      2);
  EXPECT_EQ(RunProgram(cohort, {"render", config, "--split", "train", "--subject", "x"}).exit_code,
            2);
  EXPECT_EQ(
      RunProgram(cohort, {"prepare", cohort.Path("no.yaml"), "--out", cohort.Path("o")}).exit_code,
      6);
  EXPECT_EQ(RunProgram(cohort, {"prepare", config, "--out", cohort.Path("train")}).exit_code, 5);
  EXPECT_EQ(RunProgram(cohort, {"render", config, "--split", "train", "--subject", "42"}).exit_code,
            3);
  WriteText(cohort.Path("train/1.pkl"), std::string("\x80\x02]N)R.", 7));
  const Outcome reduce = RunProgram(cohort, {"prepare", config, "--out", cohort.Path("o")});
  EXPECT_EQ(reduce.exit_code, 6);
  EXPECT_THAT(reduce.err, HasSubstr("train/1.pkl: opcode REDUCE at offset 5 is refused"));
  EXPECT_FALSE(PathExists(cohort.Path("o")));
  EXPECT_EQ(RunProgram(cohort, {"validate", config}).exit_code, 6);
  for (const char* verb : {"prepare", "ensure", "validate", "render"}) {
    const Outcome help = RunProgram(cohort, {verb, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.out, HasSubstr("Example:"));
  }
}

// Writes `num_files` pickles of 10 subjects with 16,000 events each, and their labels.
void WriteManyFiles(const MadeCohort& cohort, int num_files) {
  constexpr int kSubjects = 10, kEvents = 16000;
  std::string labels = "subject_id,is_case,site,cancerdate\n5,0,,\n";
  for (int file = 0; file < num_files; ++file) {
    std::vector<TestSubject> subjects;
    for (int i = 0; i < kSubjects; ++i) {
      TestSubject& subject = subjects.emplace_back();
      subject.subject_id = 1000 + file * kSubjects + i;
      labels += Cat(subject.subject_id, ",0,,\n");
      for (int event = 0; event < kEvents; ++event) {
        subject.tokens.push_back(3 + (event * 7 + i) % 5);
        subject.timestamps.push_back(86400.0 * event);
      }
    }
    cohort.Split(Cat("train/", file, ".pkl"), subjects);
  }
  WriteText(cohort.Path("labels.csv"), labels);
}

// Few long files: what is kept by file and by subject (their records of the manifest) is little.
TEST(Program, NeedsNoMoreMemoryForTwentyTimesTheData) {
  int64_t peak_rss_kib[2] = {0, 0};
  for (const int large : {0, 1}) {
    const MadeCohort cohort;
    WriteManyFiles(cohort, large == 0 ? 6 : 120);
    const Outcome outcome = RunProgram(
        cohort, {"prepare", WriteConfig(cohort), "--out", cohort.Path("out"), "--jobs", "2"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    peak_rss_kib[large] = outcome.peak_rss_kib;
    std::printf("%d files: peak RSS %lld KiB\n%s", large == 0 ? 6 : 120,
                static_cast<long long>(outcome.peak_rss_kib), outcome.err.c_str());
  }
  EXPECT_LT(static_cast<double>(peak_rss_kib[1]), 1.05 * static_cast<double>(peak_rss_kib[0]));
}

}  // namespace
}  // namespace anamnesis::prep
