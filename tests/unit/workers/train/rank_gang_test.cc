// SPDX-License-Identifier: Apache-2.0
// Gangs of the real program anamnesis-rank; the test plays the worker.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "tests/unit/workers/collective/fake_worker.h"
#include "tests/unit/workers/train/small_run.h"
#include "workers/contract/report.h"

namespace anamnesis::train {
namespace {

const SmallRun& Small() {
  static const SmallRun run;
  return run;
}

// Writes the plan of each rank and returns what a child has to do.
FakeWorker::RankMain Exec(contract::TrainPlan plan, int num_ranks) {
  std::vector<std::string> paths;
  plan.gang.num_ranks = num_ranks;
  for (int rank = 0; rank < num_ranks; ++rank) {
    plan.gang.rank = rank;
    paths.push_back(Cat(plan.output.directory, ".rank-", rank, ".json"));
    EXPECT_TRUE(WriteFileDurably(paths.back(), contract::ToJson(plan).dump()).ok());
  }
  const std::string program = Cat(std::getenv("ANAMNESIS_BIN_DIR"), "/anamnesis-rank");
  return [paths, program](int rank, int fd) {
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execl(program.c_str(), program.c_str(), paths[rank].c_str(), "--channel-fd",
          std::to_string(fd).c_str(), nullptr);
    return 98;
  };
}

struct GangResult {
  std::vector<int> codes;
  std::string sha256;
  std::map<int, int64_t> tokens;  // by rank
  std::map<int, int64_t> skipped_steps;
};

GangResult TrainGang(const contract::TrainPlan& plan, int num_ranks) {
  GangResult result;
  FakeWorker worker(num_ranks, Exec(plan, num_ranks));
  result.codes = worker.Serve([&](int rank, const Json& message) {
    if (message["kind"] != "done") return;
    const auto done = contract::DoneReportFromJson(message).value();
    result.tokens[rank] = done.rank_tokens;
    result.skipped_steps[rank] = done.skipped_steps;
    if (rank == 0) result.sha256 = done.final_sha256;
  });
  return result;
}

TEST(RankGang, GivesTheSameBitsForOneTwoThreeAndFourRanks) {
  const GangResult alone = TrainGang(Small().Plan("gang-1"), 1);
  ASSERT_EQ(alone.codes, std::vector<int>{0});
  ASSERT_EQ(alone.sha256.size(), 64u);
  for (int num_ranks = 2; num_ranks <= 4; ++num_ranks) {
    const GangResult gang = TrainGang(Small().Plan(Cat("gang-", num_ranks)), num_ranks);
    EXPECT_EQ(gang.codes, std::vector<int>(num_ranks, 0));
    EXPECT_EQ(gang.sha256, alone.sha256) << num_ranks << " ranks";
    int64_t tokens = 0;
    for (const auto& [rank, of_rank] : gang.tokens) {
      EXPECT_GT(of_rank, 0) << rank;
      tokens += of_rank;
    }
    EXPECT_EQ(tokens, alone.tokens.at(0));
  }
}

TEST(RankGang, SkipsTheSameStepsOfFp16OnEveryRank) {
  contract::TrainPlan plan = Small().Plan("half-1");
  plan.model = Small().ModelWithWeights(1.0);
  plan.model.dtype = "float16";
  const GangResult alone = TrainGang(plan, 1);
  ASSERT_EQ(alone.codes, std::vector<int>{0});
  EXPECT_GT(alone.skipped_steps.at(0), 0);
  for (int num_ranks = 2; num_ranks <= 3; ++num_ranks) {
    plan.output = Small().Plan(Cat("half-", num_ranks)).output;
    const GangResult gang = TrainGang(plan, num_ranks);
    EXPECT_EQ(gang.sha256, alone.sha256) << num_ranks;
    for (const auto& [rank, skipped] : gang.skipped_steps) {
      EXPECT_EQ(skipped, alone.skipped_steps.at(0)) << rank;
    }
  }
}

TEST(RankGang, ResumesOnAnotherNumberOfRanksWithTheSameBits) {
  contract::TrainPlan plan = Small().Plan("resized");
  plan.training.save_steps = 3;
  const GangResult whole = TrainGang(plan, 2);
  plan.output.resume_checkpoint = plan.output.directory + "/checkpoint-3";
  plan.output.directory = Small().path("resized-again");
  EXPECT_EQ(TrainGang(plan, 3).sha256, whole.sha256);
}

TEST(RankGang, AllRanksStopAtTheSameStep) {
  contract::TrainPlan plan = Small().Plan("stopped");
  std::map<int, int64_t> last;
  FakeWorker worker(2, Exec(plan, 2));
  const auto codes = worker.Serve([&](int rank, const Json& message) {
    // Only one rank is told.
    if (message["kind"] == "started" && rank == 1) {
      worker.Send(1, {{"kind", "stop"}, {"grace_ms", 1000}});
    }
    if (message["kind"] == "done") last[rank] = message["step"].get<int64_t>();
  });
  EXPECT_EQ(codes, (std::vector<int>{130, 130}));
  EXPECT_EQ(last[0], 1);
  EXPECT_EQ(last[1], 1);
  EXPECT_TRUE(PathExists(plan.output.directory + "/checkpoint-1/manifest.json"));
}

TEST(RankGang, ASurvivorReportsThatItsPeerIsGoneAndWaits) {
  contract::TrainPlan plan = Small().Plan("killed");
  plan.training.logging_steps = 1;
  std::string error_code;
  bool waited = false;
  FakeWorker worker(2, Exec(plan, 2));
  const auto codes = worker.Serve([&](int rank, const Json& message) {
    if (message["kind"] == "step" && rank == 0 && message["step"] == 1) worker.Kill(1);
    if (message["kind"] == "error") error_code = message["code"];
    if (message["kind"] != "idle") return;
    waited = !error_code.empty();
    worker.HangUp(rank);
  });
  EXPECT_EQ(codes, (std::vector<int>{75, -SIGKILL}));
  EXPECT_EQ(error_code, "UNAVAILABLE");
  EXPECT_TRUE(waited);
}

TEST(RankProgram, ChecksAModelDirectory) {
  const std::string program = Cat("'", std::getenv("ANAMNESIS_BIN_DIR"), "/anamnesis-rank'");
  const std::string quiet = " 2>/dev/null";
  EXPECT_EQ(std::system(Cat(program, " --check-model '", Small().path("base"), "'", quiet).c_str()),
            0);
  const int refused =
      std::system(Cat(program, " --check-model '", Small().path("shards"), "'", quiet).c_str());
  EXPECT_EQ(WEXITSTATUS(refused), 6);
  EXPECT_EQ(WEXITSTATUS(std::system(Cat(program, quiet).c_str())), 2);
  EXPECT_EQ(WEXITSTATUS(std::system(Cat(program, " /nonexistent/plan.json", quiet).c_str())), 6);
}

}  // namespace
}  // namespace anamnesis::train
