// SPDX-License-Identifier: Apache-2.0
// TrainPlan: everything one rank needs to train, as one JSON document. Written by the worker, read
// by anamnesis-rank, which can also be started on one by hand. All paths are absolute. No patient
// text. docs/formats/plan.md documents every field; readers refuse an unknown version and unknown
// keys.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/io/json.h"

namespace anamnesis::contract {

struct GangPlan {
  std::string run_id;  // names the run in reports and in rendezvous keys
  uint64_t epoch = 1;  // attempt number; fences late writes
  int rank = 0;
  int num_ranks = 1;
  int threads = 1;             // intra-op threads of this rank
  std::string device = "cpu";  // cpu | cuda
  std::string interface;       // of the network; "": all ranks are on this machine
};

struct ModelPlan {
  std::string name;       // as the user wrote it: base_model_name_or_path of the adapter
  std::string directory;  // resolved HF directory
  std::string sha256;  // digest of config.json and the weights' headers (see docs/formats/plan.md)
  std::string dtype = "float32";  // float32 | bfloat16 | float16: compute dtype; masters are fp32
  std::string quantisation = "none";  // none | nf4: how linear layers but the head are held
  // Folder whose adapter the training starts from; "": a fresh one.
  std::string initial_adapter = "";
};

struct LoraPlan {
  int r = 8;
  double alpha = 8;
  double dropout = 0;
  bool use_rslora = false;
  std::vector<std::string> target_modules;  // empty with target_regex or all_linear set
  std::string target_regex;                 // a single string in YAML other than all-linear
  bool all_linear = false;
  std::vector<std::string> exclude_modules;
  std::vector<std::string> modules_to_save;
  std::map<std::string, int> rank_pattern;
  std::map<std::string, double> alpha_pattern;
  std::string bias = "none";
};

// Of classification tasks and of finetune_llm with a prompt.
struct ClassifierPlan {
  std::vector<std::string> class_names;  // id2label, [C]; empty for other tasks
  std::string loss = "cross_entropy";    // cross_entropy | focal
  double focal_gamma = 2;
  std::vector<double> class_weights;  // [C], or empty: all 1
  bool adapter = false;               // train `lora` and the head, not every weight
};

struct DataPlan {
  std::string shards_directory;
  std::string shards_manifest_sha256;
  std::string train_index;     // index file of the train split (docs/formats/index.md)
  std::string tuning_index;    // index file of the tuning split; "" when there is no tuning split
  std::string held_out_index;  // likewise of held_out, which classification reads once, at the end
  std::string train_split = "train";
  std::string tuning_split = "tuning";
  std::string held_out_split = "held_out";
  std::string stream_digest;
  Json stream;  // stream::StreamSpec as JSON; the contract folder does not know streams
  std::string subject_hashes_sha256;  // digest of the shard set's subject-hash file
};

struct TrainingPlan {
  std::string framework = "unsloth";  // as configured
  std::string engine = "reference";   // what runs
  int64_t epochs = 1;
  int64_t batch_size = 1;
  int64_t gradient_accumulation_steps = 1;
  bool gradient_checkpointing = false;  // layers are computed again in the backward pass
  int64_t lanes = 0;                    // resolved, a power of two
  double learning_rate = 0;
  double weight_decay = 0;
  std::string lr_scheduler_type = "linear";  // linear | cosine | constant | constant_with_warmup
  int64_t warmup_steps = 0;
  double max_grad_norm = 1.0;  // 0: no clipping
  uint64_t seed = 42;
  std::string determinism = "exact";  // exact: fixed tree; fast: one all-reduce
  int64_t logging_steps = 500;
  int64_t eval_steps = 0;               // resolved by the trainer when 0: once an epoch
  int64_t save_steps = 0;               // likewise
  int64_t save_total_limit = 0;         // 0: keep all
  int64_t eval_batch_size = 0;          // 0: batch_size
  int64_t early_stopping_patience = 0;  // evaluations without improvement; 0: never
  int64_t total_steps = 0;              // of the whole run, resolved by the worker from the index
  int64_t steps_per_epoch = 0;
};

// The run as Weights & Biases sees it (`wandb.*`); texts may be "".
struct WandbPlan {
  bool enabled = false;
  std::string mode = "offline";  // offline | online: what is not offline is refused
  std::string directory;         // holds offline-run-<stamp>-<id>/
  std::string project;
  std::string run_name;
  std::string entity;
  std::string group;
  std::string job_type;
  std::string notes;
  std::vector<std::string> tags;
};

struct OutputPlan {
  std::string directory;
  std::string resume_checkpoint;  // absolute path of checkpoint-N, or "" to start at step 0
  std::string spec_yaml_sha256;   // digest of the configuration text
  Json resolved_spec;  // every key with its value, for checkpoint manifests and trainer_state
  int64_t steps_executed_before =
      0;  // by earlier attempts, steps lost by a kill included; 0 for a new run
  std::string tensorboard_directory;  // runs/<stamp>_<host>, chosen once by the worker
  WandbPlan wandb;
};

struct TrainPlan {
  int version = 1;
  std::string task = "pretrain_llm";
  GangPlan gang;
  ModelPlan model;
  LoraPlan lora;
  ClassifierPlan classifier;
  DataPlan data;
  TrainingPlan training;
  OutputPlan output;
};

// finetune_bert without an adapter: the whole model is trained and saved.
bool TrainsWholeModel(const TrainPlan& plan);

Json ToJson(const TrainPlan& plan);
// kInvalidArgument names the key and what was expected.
StatusOr<TrainPlan> TrainPlanFromJson(const Json& json, const std::string& source);
StatusOr<TrainPlan> ReadTrainPlan(const std::string& path);

}  // namespace anamnesis::contract
