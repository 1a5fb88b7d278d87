// SPDX-License-Identifier: Apache-2.0
// What the trackers write, read back by the packages that people open it with: wandb's reader and
// messages, its `wandb sync` against a small server on this machine, TensorBoard's accumulator.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/golden/oracle.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/workers/track/wandb_support.h"
#include "workers/track/trackers.h"

namespace anamnesis::track {
namespace {

class TrackGolden : public testing::Test {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    output_ = golden::ScratchDirectory(name);
  }

  void Oracle(const std::string& script, const std::string& arguments) {
    int status = 0;
    const std::string text = golden::RunOracle("track/" + script, arguments, &status);
    ASSERT_EQ(status, 0) << text;
  }
  // One file by wandb's reader.
  Json ReadRun(const std::string& path) {
    const std::string out = output_ + "/read.json";
    Oracle("read_wandb.py", Cat("'", path, "' '", out, "'"));
    return ReadJsonFile(out).value();
  }

  TrackersStart Start(uint64_t attempt, const Json& log_history) {
    TrackersStart start;
    start.tensorboard_directory = output_ + "/runs/x";
    start.args_text = R"({"max_length": 64})";
    start.model_config_text = R"({"model_type": "llama"})";
    start.wandb = SmallStart(output_ + "/wandb", attempt);
    start.wandb->plan.entity = "clinic";
    start.wandb->plan.run_name = "first light";
    start.wandb->plan.group = "g";
    start.wandb->plan.job_type = "train";
    start.wandb->plan.notes = std::string(70'000, 'n');  // a record of three blocks
    start.wandb->plan.tags = {"a", "b\xc3\xa9"};
    start.wandb->config = {{"model", {{"model_name", "m"}}},
                           {"training", {{"learning_rate", 2e-5}, {"epochs", 3}}}};
    start.wandb->log_history = log_history;
    return start;
  }
  Trackers Open(uint64_t attempt, const Json& log_history = Json::array()) {
    return Trackers(Start(attempt, log_history), clock_,
                    [](const std::string& text) { ADD_FAILURE() << text; });
  }
  std::string Folder() const { return *FindWandbRun(output_ + "/wandb", "0123abcd"); }

  FakeClock clock_;
  std::string output_;
};

// Rows as the trainer makes them; every tenth step is evaluated.
Json RowsUpTo(int64_t last) {
  Json rows = Json::array();
  for (int64_t step = 1; step <= last; ++step) {
    const double epoch = static_cast<double>(step) / 100;
    rows.push_back({{"epoch", epoch},
                    {"grad_norm", 0.1 + 0.2 / static_cast<double>(step)},
                    {"learning_rate", 2e-5},
                    {"loss", std::exp(-static_cast<double>(step))},
                    {"step", step}});
    if (step % 10 != 0) continue;
    rows.push_back({{"epoch", epoch},
                    {"eval_loss", step == 10 ? Json("nan") : Json(1.5)},
                    {"eval_perplexity", step == 20 ? Json("inf") : Json(4.5)},
                    {"eval_runtime", 0.25},
                    {"step", step}});
  }
  return rows;
}

Json LastRow(int64_t step) {
  return {{"epoch", 1.0},
          {"step", step},
          {"total_flos", 0},
          {"train_loss", 0.5},
          {"train_runtime", 12.5}};
}

TEST_F(TrackGolden, WandbReadsEveryRecord) {
  Trackers trackers = Open(1);
  const Json rows = RowsUpTo(400);
  for (const Json& row : rows) {
    clock_.Advance(absl::Milliseconds(250));
    trackers.Log(row);
  }
  trackers.Log(LastRow(400));
  trackers.Finish();
  const Json read = ReadRun(WandbFileOf(Folder()));
  ASSERT_EQ(read["history"].size(), rows.size() + 1);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Json& line = read["history"][i];
    for (const auto& [tag, value] : ScalarsOf(rows[i])) EXPECT_EQ(line[tag], NumberText(value));
    EXPECT_EQ(line["train/global_step"], Cat(StepOf(rows[i])));
    EXPECT_EQ(line["_step"], Cat(i));
    EXPECT_EQ(line["_runtime"], NumberText(0.25 * static_cast<double>(i + 1)));
    EXPECT_EQ(line.size(), ScalarsOf(rows[i]).size() + 4);
  }
  EXPECT_EQ(read["config"], Start(1, {}).wandb->config);
  const Json& summary = read["summary"];
  EXPECT_EQ(summary["train_loss"], "0.5");
  EXPECT_EQ(summary["train/loss"], NumberText(std::exp(-400.0)));
  EXPECT_EQ(summary["eval/loss"], "1.5");
  EXPECT_EQ(summary["train/global_step"], "400");
  EXPECT_EQ(read["axes"]["eval/perplexity"], "train/global_step");
  EXPECT_EQ(read["axes"]["*"], "train/global_step");
  EXPECT_EQ(read["exit_code"], 0);
  const Json expected_run = {{"run_id", "0123abcd"},
                             {"project", "p"},
                             {"entity", "clinic"},
                             {"group", "g"},
                             {"job_type", "train"},
                             {"name", "first light"},
                             {"notes", std::string(70'000, 'n')},
                             {"tags", {"a", "b\xc3\xa9"}},
                             {"host", ""},
                             {"start", "2026-09-21T14:30:00Z"}};
  Json run = read["run"];
  run["start"] = expected_run["start"];  // of the fake clock: some instant of it
  EXPECT_EQ(run, expected_run);
  EXPECT_EQ(read["kinds"][0], "header");
  EXPECT_EQ(read["kinds"][1], "run");
  EXPECT_EQ(read["kinds"].back(), "exit");
  for (size_t i = 0; i < read["nums"].size(); ++i) EXPECT_EQ(read["nums"][i], i + 1);
}

TEST_F(TrackGolden, WandbReadsATornFileUpToItsLastWholeRecord) {
  Trackers trackers = Open(1);
  std::vector<uint64_t> ends;  // of the file, after each row
  for (const Json& row : RowsUpTo(9)) {
    trackers.Log(row);
    ends.push_back(FileSize(WandbFileOf(Folder())).value());
  }
  const std::string content = ReadFile(WandbFileOf(Folder())).value();
  const std::vector<std::pair<uint64_t, size_t>> cuts = {
      {ends[8] - 1, 8}, {ends[8] - 60, 8}, {ends[7] + 3, 8}, {ends[7], 8}, {ends[7] - 1, 7}};
  std::string arguments;
  for (const auto& [size, rows] : cuts) {
    const std::string path = Cat(output_, "/torn-", size);
    ASSERT_TRUE(WriteFileDurably(path, content.substr(0, size)).ok());
    arguments += Cat("'", path, "' '", path, ".json' ");
  }
  Oracle("read_wandb.py", arguments);
  for (const auto& [size, rows] : cuts) {
    const std::string path = Cat(output_, "/torn-", size);
    const Json read = ReadJsonFile(path + ".json").value();
    ASSERT_EQ(read["history"].size(), rows) << size;
    EXPECT_EQ(HistoryIn(path).size(), rows) << size;
    EXPECT_EQ(read["history"][6]["train/global_step"], "7");
  }
}

TEST_F(TrackGolden, WandbSyncSendsOneRunOfAKilledAndResumedOne) {
  const Json rows = RowsUpTo(30);
  {
    Trackers killed = Open(1);
    for (const Json& row : RowsUpTo(25)) killed.Log(row);
  }
  // What lay there when a person synced the broken run.
  const std::string early =
      output_ + "/early/" + std::filesystem::path(Folder()).filename().string();
  std::filesystem::create_directories(output_ + "/early");
  std::filesystem::copy(Folder(), early, std::filesystem::copy_options::recursive);
  const std::string torn = WandbFileOf(early);
  std::filesystem::resize_file(torn, FileSize(torn).value() - 2);

  Trackers resumed = Open(2, RowsUpTo(20));  // the checkpoint is at step 20
  for (const Json& row : rows) {
    if (StepOf(row) > 20) resumed.Log(row);
  }
  resumed.Log(LastRow(30));
  resumed.Finish();
  const std::string out = output_ + "/server.json";
  Oracle("sync_wandb.py", Cat("'", out, "' '", early, "' '", Folder(), "'"));
  const Json runs = ReadJsonFile(out).value();
  ASSERT_EQ(runs.size(), 1u);
  const Json& run = runs["0123abcd"];
  ASSERT_EQ(run["history"].size(), rows.size() + 1);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(run["history"][i]["train/global_step"], StepOf(rows[i]));
    for (const auto& [tag, value] : ScalarsOf(rows[i])) {
      if (std::isfinite(value)) {
        EXPECT_EQ(run["history"][i][tag], value);
      } else {
        EXPECT_EQ(run["history"][i][tag], NumberText(value));
      }
    }
  }
  EXPECT_EQ(run["summary"]["train_loss"], 0.5);
  EXPECT_EQ(run["summary"]["eval/loss"], 1.5);
  EXPECT_EQ(run["config"]["training"], Start(1, {}).wandb->config["training"]);
  EXPECT_EQ(run["displayName"], "first light");
  EXPECT_EQ(run["project"], "p");
  EXPECT_EQ(run["entity"], "clinic");
  EXPECT_EQ(run["groupName"], "g");
  EXPECT_EQ(run["complete"], true);
  EXPECT_EQ(run["exit_code"], 0);
}

TEST_F(TrackGolden, TensorBoardReadsScalarsAndTexts) {
  {
    Trackers killed = Open(1);
    for (const Json& row : RowsUpTo(25)) killed.Log(row);
  }
  Trackers resumed = Open(2, RowsUpTo(20));
  for (const Json& row : RowsUpTo(30)) {
    if (StepOf(row) > 20) resumed.Log(row);
  }
  resumed.Log(LastRow(30));
  const std::string out = output_ + "/events.json";
  Oracle("read_events.py", Cat("'", output_, "/runs/x' '", out, "'"));
  const Json read = ReadJsonFile(out).value();
  const Json& scalars = read["scalars"];
  for (const char* tag : {"train/loss", "train/grad_norm", "train/learning_rate", "train/epoch"}) {
    ASSERT_EQ(scalars[tag].size(), 30u) << tag;
    for (int64_t step = 1; step <= 30; ++step) {
      EXPECT_EQ(scalars[tag][static_cast<size_t>(step - 1)][0], step) << tag;
    }
  }
  EXPECT_FLOAT_EQ(std::stof(scalars["train/loss"][4][1].get<std::string>()),
                  static_cast<float>(std::exp(-5.0)));
  EXPECT_EQ(scalars["eval/loss"], Json::parse(R"([[10, "nan"], [20, "1.5"], [30, "1.5"]])"));
  EXPECT_EQ(scalars["eval/perplexity"], Json::parse(R"([[10, "4.5"], [20, "inf"], [30, "4.5"]])"));
  EXPECT_EQ(scalars["train/train_runtime"], Json::parse(R"([[30, "12.5"]])"));
  EXPECT_EQ(read["texts"]["args/text_summary"], Json::parse(R"([[0, "{\"max_length\": 64}"]])"));
  EXPECT_EQ(read["texts"]["model_config/text_summary"],
            Json::parse(R"([[0, "{\"model_type\": \"llama\"}"]])"));
}

}  // namespace
}  // namespace anamnesis::track
