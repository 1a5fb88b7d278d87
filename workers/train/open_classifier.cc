// SPDX-License-Identifier: Apache-2.0
#include "workers/train/open_classifier.h"

#include "workers/adapter/peft_files.h"
#include "workers/encoder/config.h"
#include "workers/model/dtype.h"
#include "workers/model/safetensors.h"
#include "workers/stream/prompt.h"
#include "workers/stream/stream_spec.h"
#include "workers/text/tokenizer.h"
#include "workers/train/causal_learner.h"
#include "workers/train/decoder_classifier.h"
#include "workers/train/encoder_learner.h"

namespace anamnesis::train {
namespace {

contract::ModelPlan ModelOf(const contract::PredictPlan& plan) {
  contract::ModelPlan model;
  model.name = model.directory = plan.model_directory;
  model.dtype = plan.dtype;
  model.quantisation = plan.quantisation;
  return model;
}

// Classes of an encoder's adapter: rows of the last layer of its head.
StatusOr<int64_t> ClassesOfAdapter(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const auto file,
                        model::SafetensorsFile::Open(directory + "/adapter_model.safetensors"));
  for (const char* module : {"classifier", "classifier.out_proj"}) {
    const model::StoredTensor* weight = file.Find(adapter::SavedModuleKey(module));
    if (weight != nullptr && weight->shape.size() == 2) return weight->shape[0];
  }
  return InvalidArgument(file.path(), ": no classification head (",
                         adapter::SavedModuleKey("classifier"),
                         " is missing): not a trained classifier");
}

StatusOr<OpenedClassifier> OpenEncoder(const contract::PredictPlan& plan) {
  encoder::TrainableOptions options;
  if (!plan.adapter.empty()) {
    ANAM_ASSIGN_OR_RETURN(const adapter::AdapterConfig config,
                          adapter::ReadAdapterConfig(plan.adapter));
    options.lora = config.lora;
    ANAM_ASSIGN_OR_RETURN(options.num_labels, ClassesOfAdapter(plan.adapter));
    if (static_cast<int64_t>(plan.class_names.size()) == options.num_labels) {
      options.label_names = plan.class_names;
    }
  }
  ANAM_ASSIGN_OR_RETURN(auto model,
                        encoder::TrainableEncoder::Load(ModelOf(plan), options, at::kCPU));
  if (!plan.adapter.empty()) ANAM_RETURN_IF_ERROR(model->Restore(plan.adapter));
  OpenedClassifier opened;
  opened.class_names = model->config().label_names;
  opened.learner = EncoderLearner::Wrap(std::move(model));
  return opened;
}

StatusOr<OpenedClassifier> OpenDecoder(const contract::PredictPlan& plan) {
  ANAM_ASSIGN_OR_RETURN(const at::ScalarType dtype, model::DtypeNamed(plan.dtype));
  ANAM_ASSIGN_OR_RETURN(
      auto model, adapter::TrainableModel::Open(ModelOf(plan), plan.adapter, at::kCPU, dtype));
  OpenedClassifier opened;
  if (plan.kind == "decoder") {
    if (!model->score().defined()) {
      return InvalidArgument(plan.adapter,
                             ": the adapter of a language model, not of a classifier");
    }
    ANAM_ASSIGN_OR_RETURN(opened.learner, DecoderClassifier::Create(std::move(model), {}));
    return opened;
  }
  ANAM_ASSIGN_OR_RETURN(const stream::StreamSpec spec,
                        stream::StreamSpecFromJson(plan.stream, "plan: stream"));
  ANAM_ASSIGN_OR_RETURN(const auto tokenizer, text::Tokenizer::FromDirectory(plan.model_directory));
  ANAM_ASSIGN_OR_RETURN(auto answers, stream::AnswerIds(spec.prompt, *tokenizer));
  opened.learner = std::make_unique<CausalLearner>(std::move(model), std::move(answers));
  return opened;
}

}  // namespace

StatusOr<OpenedClassifier> OpenClassifier(const contract::PredictPlan& plan) {
  OpenedClassifier opened;
  if (plan.kind == "encoder") {
    ANAM_ASSIGN_OR_RETURN(opened, OpenEncoder(plan));
  } else {
    ANAM_ASSIGN_OR_RETURN(opened, OpenDecoder(plan));
  }
  if (!plan.class_names.empty()) opened.class_names = plan.class_names;
  const int num_classes = opened.learner->num_classes();
  if (opened.class_names.empty()) {
    for (int c = 0; c < num_classes; ++c) opened.class_names.push_back(Cat("LABEL_", c));
  }
  if (opened.class_names.size() != static_cast<size_t>(num_classes)) {
    return InvalidArgument(plan.adapter.empty() ? plan.model_directory : plan.adapter, ": ",
                           num_classes, " classes, expected ", opened.class_names.size());
  }
  return opened;
}

}  // namespace anamnesis::train
