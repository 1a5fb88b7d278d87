// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/trainable.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "common/base/check.h"
#include "common/io/file.h"
#include "workers/adapter/hidden_dropout.h"
#include "workers/adapter/peft_files.h"
#include "workers/model/dtype.h"
#include "workers/model/seeded_fill.h"
#include "workers/model/weights.h"

namespace anamnesis::adapter {
namespace {

constexpr char kHead[] = "lm_head";
constexpr char kBaseBias[] = "base_layer.bias";  // of an adapted layer, in PEFT's keys
constexpr size_t kMaxListed = 10;

void List(const char* what, const std::vector<std::string>& names, std::string* text) {
  if (names.empty()) return;
  *text += Cat("; ", what, " (", names.size(), "):");
  for (size_t i = 0; i < std::min(names.size(), kMaxListed); ++i) *text += " " + names[i];
  if (names.size() > kMaxListed) *text += " …";
}

// Missing, unexpected or misshaped tensors of an adapter file, all in one error.
Status CheckTensors(const model::SafetensorsFile& file,
                    const std::vector<NamedParameter>& parameters) {
  std::vector<std::string> missing, misshaped, extra;
  std::set<std::string> known;
  for (const NamedParameter& parameter : parameters) {
    known.insert(parameter.name);
    const model::StoredTensor* stored = file.Find(parameter.name);
    if (stored == nullptr) {
      missing.push_back(parameter.name);
      continue;
    }
    const auto scalar = model::ScalarTypeOf(stored->type);
    if (at::IntArrayRef(stored->shape) != parameter.master.sizes() || !scalar.ok() ||
        !at::isFloatingType(*scalar)) {
      misshaped.push_back(parameter.name);
    }
  }
  for (const model::StoredTensor& tensor : file.tensors()) {
    if (!known.contains(tensor.name)) extra.push_back(tensor.name);
  }
  if (missing.empty() && misshaped.empty() && extra.empty()) return absl::OkStatus();
  std::string text = file.path() + ": the tensors do not fit adapter_config.json";
  List("missing", missing, &text);
  List("of another shape or dtype", misshaped, &text);
  List("not expected", extra, &text);
  return InvalidArgument(text);
}

// The first difference between the adapter that is wanted and the one a directory describes.
Status CheckSameAdapter(const TargetPlan& wanted, const TargetPlan& found,
                        const std::string& source) {
  if (wanted.saved_modules != found.saved_modules) {
    return InvalidArgument(source, ": modules_to_save differs from the configuration's");
  }
  for (size_t i = 0; i < std::max(wanted.lora.size(), found.lora.size()); ++i) {
    if (i >= wanted.lora.size() || i >= found.lora.size() ||
        wanted.lora[i].module != found.lora[i].module) {
      return InvalidArgument(source, ": target_modules: an adapter on ", found.lora.size(),
                             " layers, the configuration asks for ", wanted.lora.size(),
                             " or for others");
    }
    const LoraTarget &want = wanted.lora[i], &have = found.lora[i];
    if (want.r != have.r) {
      return InvalidArgument(source, ": r of ", want.module, ": ", have.r, ", expected ", want.r);
    }
    if (std::abs(want.scale - have.scale) > 1e-9 * std::abs(want.scale)) {
      return InvalidArgument(source, ": scale of ", want.module,
                             " (lora_alpha, use_rslora): ", have.scale, ", expected ", want.scale);
    }
  }
  return absl::OkStatus();
}

// Reads these parameters out of a file that holds them in their shapes, then copies all or none.
Status CopyFrom(const model::SafetensorsFile& file, const std::vector<NamedParameter>& parameters) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> tensors;
  for (const NamedParameter& parameter : parameters) {
    ANAM_ASSIGN_OR_RETURN(at::Tensor tensor, model::ReadTensor(file, *file.Find(parameter.name)));
    if (tensor.sizes() != parameter.master.sizes()) {
      return InvalidArgument(file.path(), ": tensor '", parameter.name,
                             "' is of another shape: an adapter for another base model?");
    }
    tensors.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < tensors.size(); ++i) parameters[i].master.copy_(tensors[i]);
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<TrainableModel>> TrainableModel::Load(const contract::ModelPlan& model,
                                                               const contract::LoraPlan& lora,
                                                               uint64_t seed, at::Device device) {
  ANAM_ASSIGN_OR_RETURN(const at::ScalarType dtype, model::DtypeNamed(model.dtype));
  return Load(model, lora, seed, device, dtype);
}

StatusOr<std::unique_ptr<TrainableModel>> TrainableModel::Load(const contract::ModelPlan& model,
                                                               const contract::LoraPlan& lora,
                                                               uint64_t seed, at::Device device,
                                                               at::ScalarType dtype) {
  return LoadAs(model, lora, /*num_labels=*/0, seed, device, dtype);
}

StatusOr<std::unique_ptr<TrainableModel>> TrainableModel::LoadClassifier(
    const contract::ModelPlan& model, const contract::LoraPlan& lora, int64_t num_labels,
    uint64_t seed, at::Device device, std::optional<at::ScalarType> dtype) {
  if (!dtype) {
    ANAM_ASSIGN_OR_RETURN(dtype, model::DtypeNamed(model.dtype));
  }
  return LoadAs(model, lora, num_labels, seed, device, *dtype);
}

StatusOr<std::unique_ptr<TrainableModel>> TrainableModel::LoadAs(const contract::ModelPlan& model,
                                                                 const contract::LoraPlan& lora,
                                                                 int64_t num_labels, uint64_t seed,
                                                                 at::Device device,
                                                                 at::ScalarType dtype) {
  std::unique_ptr<TrainableModel> out(new TrainableModel());
  out->model_plan_ = model;
  out->num_labels_ = num_labels;
  ANAM_ASSIGN_OR_RETURN(
      out->base_, model::Decoder::Load(model.directory, dtype, device,
                                       model.quantisation == "nf4" ? model::Quantisation::kNf4
                                                                   : model::Quantisation::kNone));
  if (out->is_classifier() && out->base_->embedding_name() != "model.embed_tokens") {
    return Unimplemented(model.directory, ": a classifier on a text model inside a multimodal one ",
                         "is not built yet");
  }
  FittedPlan fitted = out->Fitted(lora);
  out->lora_plan_ = std::move(fitted.lora);
  out->notes_ = std::move(fitted.notes);
  ANAM_ASSIGN_OR_RETURN(out->targets_, out->PlanFor(out->lora_plan_));
  out->Build(seed);
  return out;
}

StatusOr<std::unique_ptr<TrainableModel>> TrainableModel::Open(const contract::ModelPlan& model,
                                                               const std::string& adapter_directory,
                                                               at::Device device,
                                                               at::ScalarType dtype) {
  ANAM_ASSIGN_OR_RETURN(const AdapterConfig config, ReadAdapterConfig(adapter_directory));
  int64_t num_labels = 0;
  if (config.task == AdapterTask::kSequenceClassification) {
    ANAM_ASSIGN_OR_RETURN(const auto file, model::SafetensorsFile::Open(
                                               adapter_directory + "/adapter_model.safetensors"));
    const model::StoredTensor* score = file.Find(SavedModuleKey(kScoreModule));
    if (score == nullptr || score->shape.size() != 2) {
      return InvalidArgument(file.path(), ": a classifier without the matrix ",
                             SavedModuleKey(kScoreModule));
    }
    num_labels = score->shape[0];
  }
  ANAM_ASSIGN_OR_RETURN(auto out,
                        LoadAs(model, config.lora, num_labels, /*seed=*/0, device, dtype));
  ANAM_RETURN_IF_ERROR(out->LoadAdapter(adapter_directory));
  return out;
}

std::vector<std::string> TrainableModel::LinearNames() const {
  std::vector<std::string> names;
  for (const model::Linear* linear : base_->linears()) {
    if (!is_classifier() || linear->name != kHead) names.push_back(linear->name);
  }
  return names;
}

FittedPlan TrainableModel::Fitted(const contract::LoraPlan& lora) const {
  FittedPlan fitted = FitPlan(lora, LinearNames());
  if (is_classifier()) FitToClassifier(&fitted);
  return fitted;
}

StatusOr<TargetPlan> TrainableModel::PlanFor(const contract::LoraPlan& lora) const {
  return PlanTargets(lora, LinearNames(),
                     {base_->embedding_name(), is_classifier() ? kScoreModule : kHead});
}

void TrainableModel::Build(uint64_t seed) {
  const at::NoGradGuard no_grad;
  const std::vector<model::Linear*> linears = base_->linears();
  const std::string embedding = base_->embedding_name();
  const auto is_saved = [&](const std::string& module) {
    return std::find(targets_.saved_modules.begin(), targets_.saved_modules.end(), module) !=
           targets_.saved_modules.end();
  };
  const auto linear_named = [&](const std::string& name) {
    return *std::find_if(linears.begin(), linears.end(),
                         [&](const model::Linear* linear) { return linear->name == name; });
  };
  const auto trains_bias = [&](const model::Linear& linear) {
    return lora_plan_.bias == "lora_only" && linear.bias.has_value();
  };
  model::Linear& head = base_->lm_head();

  std::vector<std::pair<std::string, std::vector<int64_t>>> wanted;  // names and shapes, in order
  if (is_saved(embedding)) {
    wanted.emplace_back(SavedModuleKey(embedding), base_->embedding().sizes().vec());
  }
  for (const LoraTarget& target : targets_.lora) {
    const model::Linear* linear = linear_named(target.module);
    wanted.push_back({LoraAKey(target.module), {target.r, linear->in_features()}});
    wanted.push_back({LoraBKey(target.module), {linear->out_features(), target.r}});
    if (trains_bias(*linear)) {
      wanted.emplace_back(SavedModuleKey(target.module, kBaseBias), linear->bias->sizes().vec());
    }
  }
  if (is_saved(kHead)) {
    wanted.emplace_back(SavedModuleKey(kHead), head.weight.sizes().vec());
    if (head.bias) wanted.emplace_back(SavedModuleKey(kHead, "bias"), head.bias->sizes().vec());
  }
  if (is_classifier()) {
    wanted.push_back({SavedModuleKey(kScoreModule), {num_labels_, head.in_features()}});
  }
  AllocateParameters(wanted);

  size_t next = 0;
  if (is_saved(embedding)) {
    const at::Tensor master = parameters_[next++].master;
    master.copy_(base_->embedding());
    base_->embedding() = master;
  }
  for (const LoraTarget& target : targets_.lora) {
    const NamedParameter& a = parameters_[next++];
    const NamedParameter& b = parameters_[next++];
    model::FillKaimingUniform(seed, a.name, a.master);
    LoraWeights weights{a.master, b.master, target.scale, lora_plan_.dropout};
    model::Linear* linear = linear_named(target.module);
    if (trains_bias(*linear)) {
      const at::Tensor bias = parameters_[next++].master;
      bias.copy_(*linear->bias);
      linear->bias = bias;
    }
    linear->Install(std::make_unique<LoraLinear>(std::move(weights), context_));
  }
  if (is_saved(kHead)) {
    const at::Tensor weight = parameters_[next++].master;
    weight.copy_(head.weight);
    head.weight = weight;
    if (head.bias) {
      const at::Tensor bias = parameters_[next++].master;
      bias.copy_(*head.bias);
      head.bias = bias;
    }
  }
  if (is_classifier()) {
    const NamedParameter& score = parameters_[next++];
    model::FillNormal(seed, score.name, base_->config().initializer_range, score.master);
    score_ = score.master;
  }
  base_->InstallDropout(std::make_unique<CounterHiddenDropout>(context_));
  ANAM_CHECK(next == parameters_.size());
}

void TrainableModel::AllocateParameters(
    const std::vector<std::pair<std::string, std::vector<int64_t>>>& wanted) {
  int64_t total = 0;
  for (const auto& [name, shape] : wanted) total += c10::multiply_integers(shape);
  const auto options = at::TensorOptions()
                           .dtype(base_->dtype() == at::kDouble ? at::kDouble : at::kFloat)
                           .device(base_->device());
  flat_parameters_ = at::zeros({total}, options);
  flat_gradient_ = at::zeros({total}, options);
  int64_t offset = 0;
  for (const auto& [name, shape] : wanted) {
    const int64_t size = c10::multiply_integers(shape);
    at::Tensor master = flat_parameters_.narrow(0, offset, size).view(shape).detach();
    master.set_requires_grad(true);
    master.mutable_grad() = flat_gradient_.narrow(0, offset, size).view(shape);
    parameters_.push_back({name, master, offset});
    offset += size;
  }
}

at::Tensor TrainableModel::LossSum(const model::PackedBatch& batch, const DropoutContext& dropout) {
  context_ = dropout;
  return base_->LossSum(batch);
}

at::Tensor TrainableModel::Logits(const model::PackedBatch& batch) {
  const at::NoGradGuard no_grad;
  context_ = DropoutContext();
  return base_->Logits(batch);
}

at::Tensor TrainableModel::LabelLogProbs(const model::PackedBatch& batch) {
  const at::NoGradGuard no_grad;
  context_ = DropoutContext();
  const at::Tensor hidden_ND = base_->Hidden(batch).index_select(0, batch.label_positions_N);
  const at::Tensor logits_NV = base_->HeadLogits(hidden_ND);
  const at::ScalarType wide = base_->dtype() == at::kDouble ? at::kDouble : at::kFloat;
  return at::log_softmax(logits_NV.to(wide), -1)
      .gather(1, batch.labels_N.unsqueeze(1))
      .squeeze(1)
      .to(at::kDouble);
}

at::Tensor TrainableModel::LastHidden(const model::PackedBatch& batch,
                                      const DropoutContext& dropout) {
  context_ = dropout;
  std::vector<int64_t> last;
  int64_t end = 0;
  for (const int64_t length : batch.row_lengths) last.push_back((end += length) - 1);
  const at::Tensor last_B = at::tensor(last, at::kLong).to(base_->device());
  return base_->Hidden(batch).index_select(0, last_B);
}

Status TrainableModel::SaveAdapter(const std::string& directory) const {
  std::vector<at::Tensor> tensors;  // keeps the views' data alive
  std::vector<model::TensorView> views;
  for (const NamedParameter& parameter : parameters_) {
    tensors.push_back(parameter.master.detach().to(at::kCPU, at::kFloat).contiguous());
    ANAM_ASSIGN_OR_RETURN(model::TensorView view, model::ViewOf(parameter.name, tensors.back()));
    views.push_back(std::move(view));
  }
  ANAM_RETURN_IF_ERROR(
      model::WriteSafetensors(directory + "/adapter_model.safetensors", std::move(views)));
  const AdapterTask task =
      is_classifier() ? AdapterTask::kSequenceClassification : AdapterTask::kCausalLanguageModel;
  ANAM_RETURN_IF_ERROR(
      WriteFileDurably(directory + "/adapter_config.json",
                       AdapterConfigText(AdapterConfigJson(lora_plan_, model_plan_.name, task))));
  return WriteFileDurably(directory + "/README.md", AdapterModelCard(model_plan_.name, task));
}

Status TrainableModel::LoadAdapter(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const AdapterConfig config, ReadAdapterConfig(directory));
  const std::string source = directory + "/adapter_config.json";
  const bool classifies = config.task == AdapterTask::kSequenceClassification;
  if (classifies != is_classifier()) {
    return InvalidArgument(source, ": task_type: the adapter of a ",
                           classifies ? "classifier, expected one of a language model"
                                      : "language model, expected one of a classifier");
  }
  auto found = PlanFor(Fitted(config.lora).lora);
  if (!found.ok()) return AddContext(found.status(), source);
  ANAM_RETURN_IF_ERROR(CheckSameAdapter(targets_, *found, source));
  ANAM_ASSIGN_OR_RETURN(const auto file,
                        model::SafetensorsFile::Open(directory + "/adapter_model.safetensors"));
  ANAM_RETURN_IF_ERROR(CheckTensors(file, parameters_));
  return CopyFrom(file, parameters_);
}

Status TrainableModel::StartFrom(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const AdapterConfig config, ReadAdapterConfig(directory));
  const std::string source = directory + "/adapter_config.json";
  const bool classifies = config.task == AdapterTask::kSequenceClassification;
  std::vector<std::string> saveable = {base_->embedding_name(), kHead, kScoreModule};
  FittedPlan fitted = FitPlan(config.lora, LinearNames());
  if (classifies) FitToClassifier(&fitted);
  const auto found = PlanTargets(fitted.lora, LinearNames(), saveable);
  if (!found.ok()) return AddContext(found.status(), source);
  ANAM_RETURN_IF_ERROR(CheckStartsFrom(targets_, *found, source));
  ANAM_ASSIGN_OR_RETURN(const auto file,
                        model::SafetensorsFile::Open(directory + "/adapter_model.safetensors"));
  std::vector<NamedParameter> taken;
  for (const NamedParameter& parameter : parameters_) {
    const bool is_score = is_classifier() && parameter.name == SavedModuleKey(kScoreModule);
    const model::StoredTensor* stored = file.Find(parameter.name);
    if (is_score && stored != nullptr &&
        at::IntArrayRef(stored->shape) != parameter.master.sizes()) {
      continue;  // of other classes: a fresh one
    }
    if (stored != nullptr) taken.push_back(parameter);
  }
  std::vector<std::string> lost;  // what the file holds and this adapter has no place for
  for (const model::StoredTensor& tensor : file.tensors()) {
    const bool known =
        std::any_of(parameters_.begin(), parameters_.end(),
                    [&](const NamedParameter& parameter) { return parameter.name == tensor.name; });
    const bool is_head = is_classifier() && tensor.name.starts_with(SavedModuleKey(kHead, ""));
    if (!known && !is_head) lost.push_back(tensor.name);
  }
  if (!lost.empty() || taken.empty()) {
    std::string text = file.path() + ": the tensors do not fit adapter_config.json";
    List("not expected", lost, &text);
    return InvalidArgument(text);
  }
  return CopyFrom(file, taken);
}

}  // namespace anamnesis::adapter
