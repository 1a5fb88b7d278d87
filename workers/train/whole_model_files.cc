// SPDX-License-Identifier: Apache-2.0
#include "workers/train/whole_model_files.h"

#include <vector>

#include "workers/model/safetensors.h"
#include "workers/model/torch_weights.h"
#include "workers/torch_file/training_args.h"

namespace anamnesis::train {
namespace {

Status WriteTorchCopy(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const model::SafetensorsFile file,
                        model::SafetensorsFile::Open(directory + "/model.safetensors"));
  std::vector<std::string> data;
  std::vector<model::TensorView> views;
  data.reserve(file.tensors().size());  // the views point into its strings
  for (const model::StoredTensor& tensor : file.tensors()) {
    std::string& bytes = data.emplace_back(tensor.size_bytes, '\0');
    ANAM_RETURN_IF_ERROR(file.Read(tensor, bytes.data()));
    views.push_back({tensor.name, tensor.type, tensor.shape, bytes.data()});
  }
  return model::WriteTorchWeights(directory + "/pytorch_model.bin", views);
}

std::string StrategyOf(int64_t every) { return every > 0 ? "steps" : "epoch"; }

torch_file::TrainingArgs ArgsOf(const contract::TrainPlan& plan) {
  const contract::TrainingPlan& from = plan.training;
  torch_file::TrainingArgs args;
  args.output_dir = plan.output.directory;
  if (!plan.output.wandb.run_name.empty()) args.run_name = plan.output.wandb.run_name;
  args.report_to = {"tensorboard"};
  if (plan.output.wandb.enabled) args.report_to.emplace_back("wandb");
  args.per_device_train_batch_size = from.batch_size;
  args.per_device_eval_batch_size =
      from.eval_batch_size > 0 ? from.eval_batch_size : from.batch_size;
  args.gradient_accumulation_steps = from.gradient_accumulation_steps;
  args.gradient_checkpointing = from.gradient_checkpointing;
  args.num_train_epochs = static_cast<double>(from.epochs);
  args.learning_rate = from.learning_rate;
  args.lr_scheduler_type = from.lr_scheduler_type;
  args.warmup_steps = from.warmup_steps;
  args.weight_decay = from.weight_decay;
  args.max_grad_norm = from.max_grad_norm;
  args.bf16 = plan.model.dtype == "bfloat16";
  args.fp16 = plan.model.dtype == "float16";
  args.use_cpu = plan.gang.device == "cpu";
  args.seed = static_cast<int64_t>(from.seed);
  args.logging_steps = from.logging_steps;
  args.eval_strategy = plan.data.tuning_index.empty() ? "no" : StrategyOf(from.eval_steps);
  if (from.eval_steps > 0) args.eval_steps = from.eval_steps;
  args.save_strategy = StrategyOf(from.save_steps);
  if (from.save_steps > 0) args.save_steps = from.save_steps;
  if (from.save_total_limit > 0) args.save_total_limit = from.save_total_limit;
  return args;
}

}  // namespace

Status WriteWholeModelFiles(const std::string& directory, const contract::TrainPlan& plan) {
  ANAM_RETURN_IF_ERROR(WriteTorchCopy(directory));
  return torch_file::WriteTrainingArgs(directory + "/training_args.bin", ArgsOf(plan));
}

}  // namespace anamnesis::train
