// SPDX-License-Identifier: Apache-2.0
// The messages on a rank's channel. Numbers, enums and ids only; never text of a patient.
//
// clang-format off
// rank → worker
//   started     {rank, pid, engine, device; optional bits_not_guaranteed (why), resumed_step,
//                notes [strings]}
//   step        StepReport (every rank: its own tokens and CPU seconds)
//   eval        EvalReport (rank 0)
//   alive       {} busy with what is no step (loading, evaluating, saving): restarts the stall clock
//   commit      {step, name, sha256}
//   saved       {step, path, sha256, seconds}
//   store_set   {key, value(hex)}
//   store_get   {id, key, timeout_ms}
//   store_wait  {id, keys, timeout_ms}
//   error       {code, message}
//   idle        {} a peer was lost; waits for rejoin, with base and tokenizer in memory
//   done        DoneReport
//
// worker → rank
//   commit_reply  {step, granted, reason}
//   store_reply   {id, ok, value(hex)}
//   stop          {grace_ms}: finish the step, save, exit 130
//   rejoin        {plan}: path of the plan of the next epoch
// clang-format on
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/io/json.h"

namespace anamnesis::contract {

struct StepReport {
  int64_t step = 0;      // 1-based, counted over the whole run
  double epoch = 0;      // fraction of epochs finished
  double loss = 0;       // mean over the labelled tokens of the global batch
  double grad_norm = 0;  // before clipping
  double learning_rate = 0;
  int64_t tokens = 0;  // input ids of this rank in this step, without BOS and EOS
  int64_t global_tokens = 0;
  int64_t labels = 0;      // global
  double seconds = 0;      // wall time of the step
  double cpu_seconds = 0;  // this process's CPU time in the step
  double loss_scale = 0;   // that the step used, in fp16; 0: none
  bool skipped = false;    // overflowed fp16: nothing was updated
};

struct EvalReport {
  int64_t step = 0;
  double epoch = 0;
  double loss = 0;
  int64_t labels = 0;
  double seconds = 0;
  // Of a classifier: "auroc", "f1_macro", …; those defined.
  std::map<std::string, double> metrics = {};
};

struct DoneReport {
  int64_t step = 0;
  int64_t steps_executed = 0;     // by this attempt
  int64_t tokens_trained = 0;     // by this run's whole history, all ranks
  double train_loss = 0;          // mean over steps of this attempt
  double cpu_seconds = 0;         // of all steps, evaluation and saving apart
  int64_t rank_tokens = 0;        // tokens this rank computed
  std::string final_sha256 = "";  // of adapter_model.safetensors; rank 0
  int64_t tracker_failures = 0;  // rows that TensorBoard or W&B did not take when they came; rank 0
  std::string tracker_failure = "";  // the first of them, in words
  int64_t skipped_steps = 0;         // of the run's whole history, in fp16
  // Of a classifier, at the end: "held_out_auroc", … (train/classifier_report.h); rank 0.
  std::map<std::string, double> evaluation = {};
};

Json ToJson(const StepReport& report);
Json ToJson(const EvalReport& report);
Json ToJson(const DoneReport& report);
StatusOr<StepReport> StepReportFromJson(const Json& json);
StatusOr<EvalReport> EvalReportFromJson(const Json& json);
StatusOr<DoneReport> DoneReportFromJson(const Json& json);

Json ErrorMessage(const Status& status);
Status StatusFromErrorMessage(const Json& json);

}  // namespace anamnesis::contract
