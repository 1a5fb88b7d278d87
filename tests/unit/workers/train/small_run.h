// SPDX-License-Identifier: Apache-2.0
// A run small enough for a test: a synthetic cohort as shards, a tokenizer, a tiny random Llama,
// and a plan over them.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "common/io/file.h"
#include "tests/unit/workers/stream/small_set.h"
#include "tests/unit/workers/text/text_fixture.h"
#include "workers/contract/plan.h"
#include "workers/model/init.h"
#include "workers/model/weight_files.h"
#include "workers/stream/row_source.h"

namespace anamnesis::train {

class SmallRun {
 public:
  SmallRun() { Make(); }

  // A plan for `output`, a folder of this run's temporary directory. A dozen steps in
  // two epochs.
  contract::TrainPlan Plan(const std::string& output) const {
    contract::TrainPlan plan = plan_;
    plan.output.directory = folder_.File(output);
    plan.output.tensorboard_directory = folder_.File(output + "/runs/now_here");
    return plan;
  }
  std::string path(const std::string& name) const { return folder_.File(name); }

  // The model of Plan() with other random weights, of this standard deviation.
  contract::ModelPlan ModelWithWeights(double initializer_range) const {
    contract::ModelPlan model = plan_.model;
    model.directory = folder_.File(Cat("base-", initializer_range));
    if (!PathExists(model.directory)) {
      std::filesystem::copy(plan_.model.directory, model.directory);
      auto config = model::ReadModelConfig(model.directory).value();
      config.initializer_range = initializer_range;
      EXPECT_TRUE(model::WriteRandomModel(config, 3, model.directory).ok());
    }
    model.sha256 = model::ModelDigest(model.directory).value();
    return model;
  }

 private:
  void Make() {
    text::TrainTokenizer(folder_);
    const auto tokenizer = text::Tokenizer::FromDirectory(folder_.path()).value();
    std::filesystem::create_directory(folder_.File("base"));
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      if (entry.is_regular_file()) {
        std::filesystem::copy(
            entry.path(), std::filesystem::path(folder_.File("base")) / entry.path().filename());
      }
    }
    model::ModelConfig config;
    config.vocab_size = tokenizer->vocab_size();
    config.hidden_size = 48;
    config.intermediate_size = 80;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 4;
    config.num_key_value_heads = 2;
    config.head_dim = 16;
    config.initializer_range = 0.1;
    ASSERT_TRUE(model::WriteRandomModel(config, 3, folder_.File("base")).ok());
    stream::WriteShards(stream::MakeCohort(18, 4), folder_.File("shards"));

    stream::StreamSpec spec;
    spec.max_length = 48;
    spec.cutoff_months = 1;
    spec.tokenizer_sha256 = tokenizer->sha256();
    plan_.gang.run_id = "test";
    plan_.model.name = "tiny";
    plan_.model.directory = folder_.File("base");
    plan_.model.sha256 = model::ModelDigest(folder_.File("base")).value();
    plan_.lora.r = 4;
    plan_.lora.alpha = 8;
    plan_.lora.dropout = 0.1;
    plan_.lora.all_linear = true;
    plan_.lora.modules_to_save = {"embed_tokens", "lm_head"};
    plan_.data.shards_directory = folder_.File("shards");
    plan_.data.shards_manifest_sha256 = FileSha256(folder_.File("shards/manifest.json")).value();
    plan_.data.train_index = folder_.File("index/train.pieces");
    plan_.data.tuning_index = plan_.data.train_index;
    plan_.data.tuning_split = "train";
    plan_.data.stream = stream::ToJson(spec);
    plan_.data.stream_digest = stream::StreamDigest(spec);
    plan_.training.epochs = 2;
    plan_.training.batch_size = 2;
    plan_.training.gradient_accumulation_steps = 4;
    plan_.training.lanes = 8;
    plan_.training.learning_rate = 3e-3;
    plan_.training.warmup_steps = 2;
    plan_.training.weight_decay = 0.01;
    plan_.training.logging_steps = 3;
    const auto totals = stream::EnsureIndex(folder_.File("shards"), "train", folder_.File("base"),
                                            spec, plan_.data.train_index);
    ASSERT_TRUE(totals.ok()) << totals.status();
    for (int64_t epoch = 0; epoch < 2; ++epoch) {
      const auto rows = stream::RowsOfEpoch(plan_.data.train_index, spec, 42, epoch);
      ASSERT_TRUE(rows.ok()) << rows.status();
      plan_.training.total_steps += (*rows + 7) / 8;
      if (epoch == 0) plan_.training.steps_per_epoch = (*rows + 7) / 8;
    }
    plan_.output.resolved_spec = Json::object();
  }

  TemporaryFolder folder_;
  contract::TrainPlan plan_;
};

}  // namespace anamnesis::train
