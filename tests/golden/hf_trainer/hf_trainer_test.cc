// SPDX-License-Identifier: Apache-2.0
// Runs of `anamnesis run`, a hundred steps and more of every task, beside HF's Trainer
// (hf_trainer.py) from the same weights on the same batches in the same order: learning rate, loss
// and gradient norm of every step, and the weights at the end. Prints a row a run. fp32, no
// dropout: what differs is the order of sums.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "common/io/file.h"
#include "common/io/json.h"
#include "tests/golden/oracle.h"
#include "workers/contract/plan.h"
#include "workers/stream/row_source.h"
#include "workers/train/epoch_rows.h"
#include "workers/train/learner.h"

namespace anamnesis::train {
namespace {

struct RunCase {
  std::string name;
  std::string task;
  std::string config;                     // below configs/jobs
  std::vector<std::string> settings;      // --set
  std::vector<std::string> hf_arguments;  // keys of `training` that HF's arguments get too
  // HF's 5.23 classifiers take the number of items of a step and do not use it: with accumulation
  // their loss and gradient are so many times too large. There HF gets the whole step as one batch.
  int hf_accumulation = 1;
};

const std::vector<std::string> kSmallLlm = {
    "model.max_length=64",         "lora.lora_dropout=0",
    "training.load_in_4bit=false", "training.gradient_checkpointing=false",
    "training.bf16=false",         "training.eval_steps=1000",
    "training.save_steps=1000",    "training.batch_size=2",
    "training.weight_decay=0.01",  "training.gradient_accumulation_steps=2"};

std::vector<std::string> Llm(std::vector<std::string> more) {
  more.insert(more.begin(), kSmallLlm.begin(), kSmallLlm.end());
  return more;
}

const std::vector<RunCase> kRuns = {
    // The seed's keys alone: schedule, warm-up, clipping and optimiser are the defaults. The last
    // step of an epoch has 2 rows of 7.
    {"bert_defaults",
     "finetune_bert",
     "fine-tune-bert.yaml",
     {"model.max_length=64", "training.epochs=6", "training.batch_size=7",
      "training.learning_rate=5e-4"},
     {}},
    {"bert_cosine",
     "finetune_bert",
     "fine-tune-bert.yaml",
     {"model.max_length=64", "training.epochs=7", "training.batch_size=4",
      "training.gradient_accumulation_steps=2", "training.learning_rate=1e-3",
      "training.weight_decay=0.3", "training.warmup_steps=12", "training.lr_scheduler_type=cosine",
      "training.max_grad_norm=0.25"},
     {"warmup_steps", "lr_scheduler_type", "max_grad_norm"}},
    {"classify_llm",
     "classify_llm",
     "llm_pretrain.yaml",
     Llm({"training.epochs=4", "training.learning_rate=1e-3", "training.warmup_steps=10",
          "training.lr_scheduler_type=constant_with_warmup"}),
     {"warmup_steps", "lr_scheduler_type"}},
    {"finetune_llm_prompt",
     "finetune_llm",
     "llm_pretrain.yaml",
     Llm({"training.epochs=4", "training.learning_rate=1e-3", "training.warmup_steps=10",
          "'data.prompt.template=\"{narrative}\\n{question}\\n\"'",
          "'data.prompt.question=Will this patient fall ill?'",
          "'data.prompt.answers={0: no, 1: yes indeed}'"}),
     {"warmup_steps"},
     2},
    {"pretrain_llm",
     "pretrain_llm",
     "llm_pretrain.yaml",
     Llm({"training.epochs=2", "training.learning_rate=2e-3", "training.warmup_steps=10",
          "'lora.modules_to_save=[embed_tokens, lm_head]'"}),
     {"warmup_steps"},
     2},
};

class HfTrainer : public testing::TestWithParam<RunCase> {
 protected:
  static void SetUpTestSuite() {
    if (!golden::OracleIsPresent()) return;
    root_ = golden::ScratchDirectory("hf_trainer");
    int status = 0;
    const std::string said =
        golden::RunOracle("hf_trainer/hf_trainer.py", "prepare " + root_, &status);
    ASSERT_EQ(status, 0) << said;
    Json request = Json::object();
    for (const RunCase& run : kRuns) {
      ASSERT_NO_FATAL_FAILURE(Train(run));
      ASSERT_NO_FATAL_FAILURE(AddRequest(run, request));
    }
    ASSERT_TRUE(WriteFileDurably(root_ + "/request.json", request.dump()).ok());
    const std::string heard =
        golden::RunOracle("hf_trainer/hf_trainer.py",
                          "train " + root_ + "/request.json " + root_ + "/out.json", &status);
    ASSERT_EQ(status, 0) << heard;
    theirs_ = new Json(ReadJsonFile(root_ + "/out.json").value());
  }

  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    ASSERT_NE(theirs_, nullptr);
  }

  static std::string Output(const RunCase& run) { return root_ + "/" + run.name; }
  static bool IsBert(const RunCase& run) { return run.task == "finetune_bert"; }
  static std::string Final(const RunCase& run) {
    return Output(run) + (IsBert(run) ? "" : "/final_model");
  }

  static void Train(const RunCase& run) {
    const std::string data = root_ + "/data", source = std::getenv("ANAMNESIS_SOURCE_DIR");
    std::string command =
        Cat(std::getenv("ANAMNESIS_BIN_DIR"), "/anamnesis run --task ", run.task, " ", source,
            "/configs/jobs/", run.config, " --data-dir ", root_, "/cache --threads-per-rank 1");
    const auto set = [&](const std::string& text) { command += " --set " + text; };
    set(Cat("model.model_name=", IsBert(run) ? root_ + "/bert" : data + "/base"));
    set("data.data_dir=" + data);
    set("data.vocab_filepath=" + data + "/vocab.csv");
    set("data.labels_filepath=" + data + "/labels.csv");
    set("data.medical_lookup_filepath=" + data + "/medical_lookup.csv");
    set("data.lab_lookup_filepath=" + data + "/lab_lookup.csv");
    set("training.output_dir=" + Output(run));
    set("training.logging_steps=1");
    set("wandb.enabled=false");
    for (const std::string& setting : run.settings) set(setting);
    std::string said;
    ASSERT_EQ(RunToTheEnd(command + " 2>&1", Output(run), &said), 0) << run.name << "\n" << said;
  }

  // The exit status. A run's plan is there while it lasts: it is copied when the first step is
  // done.
  static int RunToTheEnd(const std::string& command, const std::string& output, std::string* said) {
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return -1;
    char line[4096];
    while (std::fgets(line, sizeof(line), pipe) != nullptr) {
      said->append(line);
      if (!std::string(line).starts_with("first step after")) continue;
      std::filesystem::copy_file(output + "/.anamnesis/plan-rank-0.json", output + "-plan.json");
    }
    return pclose(pipe);
  }

  // The documents of every step, as the plan of the run has them, in `parts` batches each.
  static void AddBatches(const contract::TrainPlan& plan, int64_t parts, Json& batches) {
    const auto rows = stream::RowSource::Open(
                          {.shards_directory = plan.data.shards_directory,
                           .split = plan.data.train_split,
                           .model_directory = plan.model.directory,
                           .spec = stream::StreamSpecFromJson(plan.data.stream, "plan").value(),
                           .index_path = plan.data.train_index,
                           .seed = plan.training.seed,
                           .shuffle = true})
                          .value();
    for (int64_t epoch = 0; epoch < plan.training.epochs; ++epoch) {
      ASSERT_TRUE(rows->SelectEpoch(epoch).ok());
      const EpochShape shape{rows->num_rows(),
                             plan.training.batch_size * plan.training.gradient_accumulation_steps,
                             1};
      for (int64_t step = 0; step < shape.num_steps(); ++step) {
        Json documents = Json::array();
        for (int64_t row = shape.StepBegin(step); row < shape.StepEnd(step); ++row) {
          AddDocuments(rows->Row(row).value(), documents);
        }
        while (static_cast<int64_t>(documents.size()) < parts) {  // one without labels
          Json masked = documents.back();
          masked["prompt_ids"] = masked["ids"].size();
          documents.push_back(masked);
        }
        const auto count = static_cast<int64_t>(documents.size());
        for (int64_t part = 0; part < parts; ++part) {
          Json batch = Json::array();
          for (int64_t i = count * part / parts; i < count * (part + 1) / parts; ++i) {
            batch.push_back(documents[static_cast<size_t>(i)]);
          }
          batches.push_back(std::move(batch));
        }
      }
    }
  }

  // Every segment by itself.
  static void AddDocuments(const stream::PackedRow& row, Json& documents) {
    auto at = row.ids.begin();
    for (const int32_t length : row.segment_lengths) {
      documents.push_back({{"ids", std::vector<int32_t>(at, at + length)},
                           {"label", row.label},
                           {"prompt_ids", row.num_prompt_ids}});
      at += length;
    }
  }

  static void AddRequest(const RunCase& run, Json& request) {
    const auto plan = contract::ReadTrainPlan(Output(run) + "-plan.json");
    ASSERT_TRUE(plan.ok()) << plan.status();
    const auto learner = OpenLearner(*plan, at::kCPU);  // the seed makes its new weights
    ASSERT_TRUE(learner.ok()) << learner.status();
    const std::string initial = Output(run) + "-initial";
    std::filesystem::create_directories(initial);
    ASSERT_TRUE((*learner)->Save(initial).ok());
    Json batches = Json::array();
    ASSERT_NO_FATAL_FAILURE(AddBatches(*plan, run.hf_accumulation, batches));
    const Json training = contract::ToJson(*plan).at("training");
    Json arguments = Json::object();
    for (const char* key : {"learning_rate", "weight_decay"}) arguments[key] = training.at(key);
    for (const std::string& key : run.hf_arguments) arguments[key] = training.at(key);
    request[run.name] = {{"whole_model", contract::TrainsWholeModel(*plan)},
                         {"classes", run.task == "finetune_llm" ? 0 : (*learner)->num_classes()},
                         {"base", plan->model.directory},
                         {"initial", initial},
                         {"final", Final(run)},
                         {"steps", plan->training.total_steps},
                         {"accumulation", run.hf_accumulation},
                         {"arguments", arguments},
                         {"batches", batches}};
  }

  static std::string root_;
  static Json* theirs_;  // lives as long as the program
};
std::string HfTrainer::root_;
Json* HfTrainer::theirs_ = nullptr;

// The largest relative difference over the steps.
double Largest(const Json& ours, const Json& theirs, const char* key) {
  double largest = 0;
  for (size_t step = 0; step < theirs.size(); ++step) {
    const auto expected = theirs[step].at(key).get<double>();
    const double difference = std::abs(ours[step].at(key).get<double>() - expected);
    if (difference > 0) largest = std::max(largest, difference / std::abs(expected));
  }
  return largest;
}

TEST_P(HfTrainer, AgreesOnEveryStepAndOnTheWeightsAtTheEnd) {
  const RunCase& run = GetParam();
  const Json& theirs = theirs_->at(run.name).at("log");
  Json ours = Json::array();
  const Json state = ReadJsonFile(Final(run) + "/trainer_state.json").value();
  for (const Json& row : state.at("log_history")) {
    if (row.contains("loss")) ours.push_back(row);
  }
  ASSERT_EQ(ours.size(), theirs.size());
  EXPECT_GE(ours.size(), 100U);
  const double rate = Largest(ours, theirs, "learning_rate");
  const double loss = Largest(ours, theirs, "loss");
  const double norm = Largest(ours, theirs, "grad_norm");
  double difference = 0, movement = 0;
  std::string worst;
  double worst_ratio = 0;
  for (const auto& [name, pair] : theirs_->at(run.name).at("distances").items()) {
    // The same number added to every score of a row: its gradient is rounding alone.
    if (name.ends_with("key.bias")) continue;
    const auto apart = pair[0].get<double>(), moved = pair[1].get<double>();
    difference += apart * apart;
    movement += moved * moved;
    if (moved > 0 && apart / moved > worst_ratio) {
      worst_ratio = apart / moved;
      worst = name;
    }
  }
  const double weights = std::sqrt(difference / movement);
  std::printf(
      "%-20s %3zu steps, loss %.4f to %.4f; largest relative difference: rate %.1e, loss %.1e, "
      "gradient norm %.1e; weights apart / moved %.1e, at worst %.1e (%s)\n",
      run.name.c_str(), ours.size(), ours.front().at("loss").get<double>(),
      ours.back().at("loss").get<double>(), rate, loss, norm, weights, worst_ratio, worst.c_str());
  EXPECT_EQ(rate, 0);
  EXPECT_LE(loss, 1e-4);
  EXPECT_LE(norm, 1e-3);
  EXPECT_LE(weights, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Runs, HfTrainer, testing::ValuesIn(kRuns),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace anamnesis::train
