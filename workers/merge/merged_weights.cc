// SPDX-License-Identifier: Apache-2.0
// Shapes: I inputs, O outputs, R rank, V vocabulary, D hidden.
#include "workers/merge/merged_weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/io/file.h"
#include "workers/adapter/peft_files.h"
#include "workers/model/bnb_layout.h"
#include "workers/model/dtype.h"
#include "workers/model/safetensors.h"
#include "workers/model/weight_files.h"
#include "workers/model/weights.h"

namespace anamnesis::merge {
namespace {

constexpr char kHead[] = "lm_head";
constexpr const char* kPackedParts[] = {model::kBnbState, model::kBnbAbsmax, model::kBnbQuantMap,
                                        model::kBnbNestedAbsmax, model::kBnbNestedQuantMap};

// One tensor of the merged file.
struct Output {
  model::TensorView view;                   // without data
  const model::TensorFile* file = nullptr;  // copied from here
  const model::StoredTensor* stored = nullptr;
  std::function<StatusOr<at::Tensor>()> make;  // or made, of the view's dtype
};

// A low-rank update of one layer.
struct Update {
  at::Tensor a_RI, b_OR;
  double scale = 0;
};

class Writer {
 public:
  Writer(adapter::TrainableModel& trainable, const model::WeightFiles& files)
      : trainable_(trainable), files_(files), base_(trainable.base()) {}

  StatusOr<Written> Write(const std::string& directory) {
    const at::NoGradGuard no_grad;
    ANAM_ASSIGN_OR_RETURN(const model::StoredType type, PackedType());
    written_.dtype = base_.config().dtype;
    for (const adapter::NamedParameter& parameter : trainable_.parameters()) {
      masters_[parameter.name] = parameter.master.detach();
    }
    ANAM_RETURN_IF_ERROR(PlanLinears(type));
    PlanSavedModules();
    for (const auto& file : files_.files()) {
      for (const model::StoredTensor& stored : file->tensors()) Copy(*file, stored);
    }
    ANAM_RETURN_IF_ERROR(WriteOutputs(directory + "/model.safetensors"));
    return written_;
  }

 private:
  // What a weight in NF4 becomes.
  StatusOr<model::StoredType> PackedType() const {
    ANAM_ASSIGN_OR_RETURN(const at::ScalarType dtype, model::DtypeNamed(base_.config().dtype));
    return model::StoredTypeOf(dtype);
  }

  Update UpdateOf(const adapter::LoraTarget& target) const {
    return {masters_.at(adapter::LoraAKey(target.module)),
            masters_.at(adapter::LoraBKey(target.module)), target.scale};
  }

  // Every linear layer that is not copied: packed, or with an update.
  Status PlanLinears(model::StoredType packed_type) {
    std::map<std::string, Update> updates;
    for (const adapter::LoraTarget& target : trainable_.targets().lora) {
      updates[target.module] = UpdateOf(target);
    }
    written_.num_layers = static_cast<int64_t>(updates.size());
    for (const model::Linear* linear : base_.linears()) {
      const auto update = updates.find(linear->name);
      if (update == updates.end() && !linear->packed) continue;
      const std::string name = linear->name + ".weight";
      const model::StoredTensor* stored = files_.Find(name);
      ANAM_CHECK(stored != nullptr);  // the model has been loaded from these files
      const bool was_packed = files_.Find(name + model::kBnbState) != nullptr;
      const model::StoredType type = was_packed ? packed_type : stored->type;
      ANAM_ASSIGN_OR_RETURN(const at::ScalarType scalar, model::ScalarTypeOf(type));
      for (const char* part : kPackedParts) {
        const model::StoredTensor* found = files_.Find(name + part);
        if (found != nullptr) dropped_.insert(found->name);
      }
      Output output;
      output.view = {stored->name, type, {linear->out_features(), linear->in_features()}, nullptr};
      output.make = [this, linear, stored, scalar, name,
                     update = update == updates.end() ? Update() : update->second] {
        return Merged(*linear, *stored, name, scalar, update);
      };
      Add(std::move(output));
    }
    return absl::OkStatus();
  }

  StatusOr<at::Tensor> Merged(const model::Linear& linear, const model::StoredTensor& stored,
                              const std::string& name, at::ScalarType dtype,
                              const Update& update) const {
    at::Tensor weight_OI;
    if (linear.packed) {
      weight_OI = linear.packed->Dense(dtype);
    } else {
      ANAM_ASSIGN_OR_RETURN(weight_OI, model::ReadTensor(*files_.FileOf(name), stored));
    }
    if (update.a_RI.defined()) weight_OI.add_(update.b_OR.mm(update.a_RI) * update.scale);
    if (!weight_OI.isfinite().all().item<bool>()) {
      return InvalidArgument(name, ": the merged weight has a NaN or an infinity");
    }
    return weight_OI;
  }

  const at::Tensor* Saved(const std::string& module, const char* part = "weight") const {
    const auto found = masters_.find(adapter::SavedModuleKey(module, part));
    return found == masters_.end() ? nullptr : &found->second;
  }

  // Embedding, biases and head. A head that is tied in the base stays so only when both are the
  // same.
  void PlanSavedModules() {
    const std::string& embedding = base_.embedding_name();
    const at::Tensor* saved_VD = Saved(embedding);
    const at::Tensor* head_VD = Saved(kHead);
    const model::StoredTensor* stored = files_.Find(embedding + ".weight");
    ANAM_CHECK(stored != nullptr);
    if (saved_VD != nullptr) Replace(stored->name, *stored, *saved_VD);
    for (const adapter::LoraTarget& target : trainable_.targets().lora) {  // lora.bias
      const at::Tensor* bias_O = Saved(target.module, "base_layer.bias");
      if (bias_O == nullptr) continue;
      const model::StoredTensor* stored_bias = files_.Find(target.module + ".bias");
      ANAM_CHECK(stored_bias != nullptr);
      Replace(stored_bias->name, *stored_bias, *bias_O);
    }
    if (const at::Tensor* bias_V = Saved(kHead, "bias")) {
      const model::StoredTensor* stored_bias = files_.Find(std::string(kHead) + ".bias");
      ANAM_CHECK(stored_bias != nullptr);
      Replace(stored_bias->name, *stored_bias, *bias_V);
    }
    if (!base_.config().tie_word_embeddings) {
      if (head_VD == nullptr) return;
      const model::StoredTensor* stored_head = files_.Find(std::string(kHead) + ".weight");
      ANAM_CHECK(stored_head != nullptr);
      Replace(stored_head->name, *stored_head, *head_VD);
      return;
    }
    if (saved_VD == nullptr && head_VD == nullptr) return;
    // Beside a tied head the files may hold a copy of the embedding.
    const std::string head = std::string(kHead) + ".weight";
    const model::StoredTensor* copy = files_.Find(head);
    if (copy != nullptr) dropped_.insert(copy->name);
    const bool same = saved_VD != nullptr && head_VD != nullptr && at::equal(*saved_VD, *head_VD);
    if (same) return;
    written_.unties_head = true;
    if (head_VD != nullptr) {
      Replace(head, *stored, *head_VD);
      return;
    }
    Output output;  // the head stays what the embedding was
    output.view = {head, stored->type, stored->shape, nullptr};
    output.file = files_.FileOf(embedding + ".weight");
    output.stored = stored;
    Add(std::move(output));
  }

  // `like` gives dtype and shape.
  void Replace(const std::string& name, const model::StoredTensor& like, const at::Tensor& value) {
    Output output;
    output.view = {name, like.type, like.shape, nullptr};
    output.make = [name, value, type = like.type]() -> StatusOr<at::Tensor> {
      ANAM_ASSIGN_OR_RETURN(const at::ScalarType scalar, model::ScalarTypeOf(type));
      const at::Tensor converted = value.to(at::kCPU, scalar).contiguous();
      if (converted.isfinite().all().item<bool>()) return converted;
      return InvalidArgument(name, ": the adapter's copy has a NaN or an infinity");
    };
    Add(std::move(output));
  }

  void Copy(const model::TensorFile& file, const model::StoredTensor& stored) {
    if (dropped_.contains(stored.name) || planned_.contains(stored.name)) return;
    Output output;
    output.view = {stored.name, stored.type, stored.shape, nullptr};
    output.file = &file;
    output.stored = &stored;
    Add(std::move(output));
  }

  void Add(Output output) {
    planned_.insert(output.view.name);
    outputs_.push_back(std::move(output));
  }

  Status WriteOutputs(const std::string& path) const {
    std::vector<model::TensorView> views;
    for (const Output& output : outputs_) views.push_back(output.view);
    ANAM_ASSIGN_OR_RETURN(const model::SafetensorsLayout layout,
                          model::LayoutSafetensors(views, {{"format", "pt"}}));
    ANAM_ASSIGN_OR_RETURN(StagedFile file, StagedFile::Create(path));
    ANAM_RETURN_IF_ERROR(file.Append(layout.header));
    for (const size_t index : layout.order) {
      const Output& output = outputs_[index];
      if (output.make) {
        ANAM_ASSIGN_OR_RETURN(const at::Tensor tensor, output.make());
        ANAM_CHECK(tensor.is_contiguous() && at::IntArrayRef(output.view.shape) == tensor.sizes());
        ANAM_RETURN_IF_ERROR(file.Append({static_cast<const char*>(tensor.const_data_ptr()),
                                          static_cast<size_t>(tensor.nbytes())}));
        continue;
      }
      std::string bytes(output.stored->size_bytes, '\0');
      ANAM_RETURN_IF_ERROR(output.file->Read(*output.stored, bytes.data()));
      ANAM_RETURN_IF_ERROR(file.Append(bytes));
    }
    return file.Commit();
  }

  adapter::TrainableModel& trainable_;
  const model::WeightFiles& files_;
  model::Decoder& base_;
  std::map<std::string, at::Tensor> masters_;  // by the adapter's keys
  std::vector<Output> outputs_;
  std::set<std::string> planned_, dropped_;  // names in the files
  Written written_;
};

// The base's config.json, byte for byte where nothing in it changes.
Status WriteConfig(const std::string& base_directory, const std::string& directory,
                   bool unties_head) {
  const std::string source = base_directory + "/config.json";
  ANAM_ASSIGN_OR_RETURN(std::string text, ReadFile(source));
  ANAM_ASSIGN_OR_RETURN(Json json, ParseJson(text, source));
  const bool was_quantised = json.contains("quantization_config");
  if (was_quantised || unties_head) {
    json.erase("quantization_config");
    if (unties_head) json["tie_word_embeddings"] = false;
    if (unties_head && json.contains("text_config")) {
      json["text_config"]["tie_word_embeddings"] = false;
    }
    text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return WriteFileDurably(directory + "/config.json", text);
}

}  // namespace

StatusOr<Written> WriteMergedModel(adapter::TrainableModel& trainable,
                                   const std::string& base_directory,
                                   const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const model::WeightFiles files, model::WeightFiles::Open(base_directory));
  ANAM_ASSIGN_OR_RETURN(const Written written, Writer(trainable, files).Write(directory));
  ANAM_RETURN_IF_ERROR(WriteConfig(base_directory, directory, written.unties_head));
  return written;
}

}  // namespace anamnesis::merge
