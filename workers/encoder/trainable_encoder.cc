// SPDX-License-Identifier: Apache-2.0
#include "workers/encoder/trainable_encoder.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <set>

#include "common/base/check.h"
#include "common/io/file.h"
#include "workers/adapter/lora.h"
#include "workers/adapter/peft_files.h"
#include "workers/adapter/targets.h"
#include "workers/encoder/weights_in.h"
#include "workers/model/dtype.h"
#include "workers/model/safetensors.h"
#include "workers/model/seeded_fill.h"
#include "workers/model/weights.h"

namespace anamnesis::encoder {
namespace {

using TensorMap = std::map<std::string, at::Tensor>;

constexpr char kWeight[] = ".weight";
constexpr char kPeftPrefix[] = "base_model.model.";

at::ScalarType Wide(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

// The modules of the head that an adapter saves whole: their paths, in order.
std::vector<std::string> HeadModules(Family family) {
  switch (family) {
    case Family::kBert:
      return {"bert.pooler", "classifier"};
    case Family::kDistilBert:
      return {"pre_classifier", "classifier"};
    case Family::kModernBert:
      return {"head", "classifier"};
    case Family::kRoberta:
    case Family::kElectra:
      break;
  }
  return {"classifier"};
}

std::string ModuleOf(const std::string& name) { return name.substr(0, name.rfind('.')); }

bool IsUnder(const std::string& name, const std::string& module) {
  return name.starts_with(module + ".");
}

bool IsInHead(const std::string& name, Family family) {
  const std::vector<std::string> modules = HeadModules(family);
  return std::any_of(modules.begin(), modules.end(), [&](const std::string& module) {
    return IsUnder(name, module) || name == module;
  });
}

// The last part of a module path, as modules_to_save names it.
std::string ShortName(const std::string& module) { return module.substr(module.rfind('.') + 1); }

// What the adapter trains: the plan's modules_to_save, `classifier` (PEFT adds it to every SEQ_CLS
// adapter), and every part of the head that had to be made new, which frozen would stay noise.
std::vector<std::string> SavedModules(const EncoderConfig& config, const contract::LoraPlan& plan,
                                      const std::vector<std::string>& initialised) {
  std::vector<std::string> saved;
  for (const std::string& module : HeadModules(config.family)) {
    const bool asked = std::find(plan.modules_to_save.begin(), plan.modules_to_save.end(),
                                 ShortName(module)) != plan.modules_to_save.end();
    const bool is_new = std::any_of(initialised.begin(), initialised.end(),
                                    [&](const std::string& name) { return IsUnder(name, module); });
    // PEFT takes every module whose name ends so: "classifier" names distilbert's pre_classifier
    // too.
    const bool ends_so = module.ends_with("classifier");
    if (ends_so || asked || is_new) saved.push_back(module);
  }
  return saved;
}

// Adds the short names of `modules` that the list lacks.
void AddMissing(const std::vector<std::string>& modules, std::vector<std::string>* names) {
  for (const std::string& module : modules) {
    const std::string name = ShortName(module);
    if (std::find(names->begin(), names->end(), name) == names->end()) names->push_back(name);
  }
}

}  // namespace

StatusOr<std::unique_ptr<TrainableEncoder>> TrainableEncoder::Load(const contract::ModelPlan& model,
                                                                   const TrainableOptions& options,
                                                                   at::Device device) {
  std::unique_ptr<TrainableEncoder> out(new TrainableEncoder());
  out->model_plan_ = model;
  out->options_ = options;
  if (options.dtype.has_value()) {
    out->compute_ = *options.dtype;
  } else {
    ANAM_ASSIGN_OR_RETURN(out->compute_, model::DtypeNamed(model.dtype));
  }
  ANAM_ASSIGN_OR_RETURN(EncoderConfig config, ReadEncoderConfig(model.directory));
  const int64_t labels = options.num_labels == 0 ? config.num_labels : options.num_labels;
  ANAM_RETURN_IF_ERROR(SetLabels(labels, options.label_names, &config));
  ANAM_RETURN_IF_ERROR(CheckClassLoss(options.loss, labels));
  ANAM_RETURN_IF_ERROR(options.lora.has_value() ? out->BuildLora(config, device)
                                                : out->BuildWhole(config, device));
  return out;
}

void TrainableEncoder::AllocateParameters(const Wanted& wanted, const at::TensorOptions& options) {
  int64_t total = 0;
  for (const auto& [name, shape] : wanted) total += c10::multiply_integers(shape);
  flat_parameters_ = at::zeros({total}, options);
  flat_gradient_ = at::zeros({total}, options);
  int64_t offset = 0;
  for (const auto& [name, shape] : wanted) {
    const int64_t size = c10::multiply_integers(shape);
    at::Tensor master = flat_parameters_.narrow(0, offset, size).view(shape).detach();
    master.set_requires_grad(true);
    master.mutable_grad() = flat_gradient_.narrow(0, offset, size).view(shape);
    parameters_.push_back({name, master, offset, Decays(name)});
    offset += size;
  }
}

Status TrainableEncoder::BuildWhole(const EncoderConfig& config, at::Device device) {
  Wanted wanted;
  for (const EncoderTensor& tensor : EncoderTensors(config)) {
    wanted.emplace_back(tensor.name, tensor.shape);
  }
  AllocateParameters(wanted, at::TensorOptions().dtype(Wide(compute_)).device(device));
  TensorMap tensors;
  for (const EncoderParameter& parameter : parameters_) {
    tensors[parameter.name] = parameter.master;
  }
  ANAM_ASSIGN_OR_RETURN(const FilledWeights filled,
                        FillWeights(model_plan_.directory, config, options_.seed, tensors));
  if (options_.num_labels == 0 && !filled.initialised.empty()) {
    return InvalidArgument(model_plan_.directory, ": no classification head (",
                           filled.initialised.front(), " is missing): not a trained classifier");
  }
  note_ = filled.note;
  encoder_ = std::make_unique<Encoder>(config, tensors, compute_);
  for (model::Linear* linear : encoder_->linears()) {
    linear->Install(std::make_unique<TrainedLinear>());
  }
  return absl::OkStatus();
}

Status TrainableEncoder::BuildLora(const EncoderConfig& config, at::Device device) {
  const std::vector<EncoderTensor> all = EncoderTensors(config);
  TensorMap tensors;  // of the base, wide
  for (const EncoderTensor& tensor : all) {
    // Frozen linear layers lie in the compute dtype; norms and embeddings stay wide, and so does
    // the head, whose masters are copied from here.
    const bool narrow = tensor.kind == ModuleKind::kLinear && !tensor.is_head;
    tensors[tensor.name] = at::empty(
        tensor.shape, at::TensorOptions().dtype(narrow ? compute_ : Wide(compute_)).device(device));
  }
  ANAM_ASSIGN_OR_RETURN(const FilledWeights filled,
                        FillWeights(model_plan_.directory, config, options_.seed, tensors));
  note_ = filled.note;
  contract::LoraPlan& plan = *options_.lora;
  const std::vector<std::string> saved = SavedModules(config, plan, filled.initialised);
  AddMissing(saved, &plan.modules_to_save);
  const auto is_saved = [&](const std::string& name) {
    return std::any_of(saved.begin(), saved.end(),
                       [&](const std::string& module) { return IsUnder(name, module); });
  };
  std::vector<std::string> linear_names;
  for (const EncoderTensor& tensor : all) {
    if (tensor.kind != ModuleKind::kLinear || !tensor.name.ends_with(kWeight)) continue;
    if (!is_saved(tensor.name)) linear_names.push_back(ModuleOf(tensor.name));
  }
  ANAM_ASSIGN_OR_RETURN(const adapter::TargetPlan targets,
                        adapter::PlanTargets(plan, linear_names, HeadModules(config.family)));

  Wanted wanted;
  for (const adapter::LoraTarget& target : targets.lora) {
    const at::Tensor& weight = tensors.at(target.module + kWeight);
    wanted.push_back({adapter::LoraAKey(target.module), {target.r, weight.size(1)}});
    wanted.push_back({adapter::LoraBKey(target.module), {weight.size(0), target.r}});
  }
  std::vector<std::string> biases;  // that are trained beside their layer's adapter
  for (const adapter::LoraTarget& target : targets.lora) {
    const auto bias = tensors.find(target.module + ".bias");
    if (plan.bias != "lora_only" || bias == tensors.end()) continue;
    biases.push_back(bias->first);
    wanted.emplace_back(adapter::SavedModuleKey(target.module, "base_layer.bias"),
                        bias->second.sizes().vec());
  }
  for (const EncoderTensor& tensor : all) {
    if (is_saved(tensor.name)) wanted.emplace_back(kPeftPrefix + tensor.name, tensor.shape);
  }
  AllocateParameters(wanted, at::TensorOptions().dtype(Wide(compute_)).device(device));

  const at::NoGradGuard no_grad;
  size_t next = 2 * targets.lora.size();
  for (const std::string& name : biases) {
    const at::Tensor master = parameters_[next++].master;
    master.copy_(tensors.at(name));
    tensors.at(name) = master;
  }
  const std::set<std::string> trained(biases.begin(), biases.end());
  for (const EncoderTensor& tensor : all) {
    if (trained.contains(tensor.name)) continue;
    at::Tensor& base = tensors.at(tensor.name);
    if (is_saved(tensor.name)) {
      const at::Tensor master = parameters_[next++].master;
      master.copy_(base);
      base = master;
    } else if (tensor.kind == ModuleKind::kLinear) {
      base = base.to(compute_);
    }
  }
  ANAM_CHECK(next == parameters_.size());
  encoder_ = std::make_unique<Encoder>(config, tensors, compute_);
  InstallLora(targets);
  return absl::OkStatus();
}

void TrainableEncoder::InstallLora(const adapter::TargetPlan& targets) {
  std::map<std::string, size_t> index;
  for (size_t i = 0; i < targets.lora.size(); ++i) index[targets.lora[i].module] = i;
  for (model::Linear* linear : encoder_->linears()) {
    const auto found = index.find(linear->name);
    if (found == index.end()) {
      if (linear->weight.requires_grad()) linear->Install(std::make_unique<TrainedLinear>());
      continue;
    }
    const size_t i = found->second;
    const EncoderParameter &a = parameters_[2 * i], &b = parameters_[2 * i + 1];
    model::FillKaimingUniform(options_.seed, a.name, a.master);
    linear->Install(std::make_unique<adapter::LoraLinear>(
        adapter::LoraWeights{a.master, b.master, targets.lora[i].scale, options_.lora->dropout},
        IsInHead(linear->name, config().family) ? head_context_ : context_));
  }
}

void TrainableEncoder::SetDropout(const adapter::DropoutContext& dropout) {
  context_ = dropout;
  head_context_ = PerDocument(dropout);
}

ClassLossSum TrainableEncoder::LossSum(const EncoderBatch& batch,
                                       const adapter::DropoutContext& dropout) {
  ANAM_CHECK(batch.labels_B.min().item<int64_t>() >= 0);
  SetDropout(dropout);
  return ClassLoss(encoder_->Logits(batch, context_), batch.labels_B, options_.loss);
}

at::Tensor TrainableEncoder::Logits(const EncoderBatch& batch) {
  const at::NoGradGuard no_grad;
  SetDropout(adapter::DropoutContext());
  return encoder_->Logits(batch, context_);
}

at::Tensor TrainableEncoder::Hidden(const EncoderBatch& batch) {
  const at::NoGradGuard no_grad;
  SetDropout(adapter::DropoutContext());
  return encoder_->Hidden(batch, context_);
}

Status TrainableEncoder::Save(const std::string& directory) const {
  std::vector<at::Tensor> tensors;  // keeps the views' data alive
  std::vector<model::TensorView> views;
  for (const EncoderParameter& parameter : parameters_) {
    tensors.push_back(parameter.master.detach().to(at::kCPU, at::kFloat).contiguous());
    ANAM_ASSIGN_OR_RETURN(model::TensorView view, model::ViewOf(parameter.name, tensors.back()));
    views.push_back(std::move(view));
  }
  if (!options_.lora.has_value()) {
    ANAM_RETURN_IF_ERROR(
        model::WriteSafetensors(directory + "/model.safetensors", std::move(views)));
    return WriteFileDurably(directory + "/config.json", EncoderConfigText(config()));
  }
  ANAM_RETURN_IF_ERROR(
      model::WriteSafetensors(directory + "/adapter_model.safetensors", std::move(views)));
  constexpr auto kTask = adapter::AdapterTask::kSequenceClassification;
  const Json json = adapter::AdapterConfigJson(*options_.lora, model_plan_.name, kTask);
  ANAM_RETURN_IF_ERROR(
      WriteFileDurably(directory + "/adapter_config.json", adapter::AdapterConfigText(json)));
  return WriteFileDurably(directory + "/README.md",
                          adapter::AdapterModelCard(model_plan_.name, kTask));
}

Status TrainableEncoder::Restore(const std::string& directory) {
  const bool lora = options_.lora.has_value();
  const std::string path = directory + (lora ? "/adapter_model.safetensors" : "/model.safetensors");
  ANAM_ASSIGN_OR_RETURN(const auto file, model::SafetensorsFile::Open(path));
  std::vector<at::Tensor> tensors;
  for (const EncoderParameter& parameter : parameters_) {
    const model::StoredTensor* stored = file.Find(parameter.name);
    if (stored == nullptr) {
      return InvalidArgument(path, ": tensor '", parameter.name, "' is missing");
    }
    if (at::IntArrayRef(stored->shape) != parameter.master.sizes() ||
        stored->type != model::StoredType::kF32) {
      return InvalidArgument(path, ": tensor '", parameter.name, "' is of another shape or dtype");
    }
    ANAM_ASSIGN_OR_RETURN(at::Tensor tensor, model::ReadTensor(file, *stored));
    tensors.push_back(std::move(tensor));
  }
  if (file.tensors().size() != parameters_.size()) {
    return InvalidArgument(path, ": ", file.tensors().size(), " tensors, expected ",
                           parameters_.size());
  }
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < tensors.size(); ++i) parameters_[i].master.copy_(tensors[i]);
  return absl::OkStatus();
}

}  // namespace anamnesis::encoder
