// SPDX-License-Identifier: Apache-2.0
// Decoder::Load: a checkpoint's tensors into the places that its layout names.
#include <cmath>
#include <utility>

#include "workers/model/decoder.h"
#include "workers/model/layout.h"
#include "workers/model/packed_loader.h"
#include "workers/model/weight_files.h"
#include "workers/model/weights.h"

namespace anamnesis::model {

class DecoderLoader {
 public:
  DecoderLoader(const ModelConfig& config, const WeightFiles& files, const PackedLoader& packed,
                at::ScalarType dtype, at::Device device)
      : config_(config), files_(files), packed_(packed), dtype_(dtype), device_(device) {}

  StatusOr<std::unique_ptr<Decoder>> Load() {
    const DecoderLayout layout = LayoutOf(config_);
    std::unique_ptr<Decoder> model(new Decoder());
    model->config_ = config_;
    model->dtype_ = dtype_;
    model->device_ = device_;
    model->embedding_name_ = layout.embedding;
    ANAM_ASSIGN_OR_RETURN(model->embedding_, Read(layout.embedding + ".weight"));
    model->layers_.resize(layout.layers.size());
    for (size_t i = 0; i < layout.layers.size(); ++i) {
      ANAM_RETURN_IF_ERROR(LoadLayer(layout.layers[i], i, &model->layers_[i]));
    }
    ANAM_RETURN_IF_ERROR(LoadNorm(layout.final_norm, &model->final_norm_));
    ANAM_RETURN_IF_ERROR(LoadHead(layout.head, model.get()));
    int64_t ordinal = 0;
    for (Linear* linear : model->linears()) linear->ordinal = ordinal++;
    model->rope_ = RopeOf(config_.rope);
    if (config_.flags.local_rope) model->local_rope_ = RopeOf(config_.local_rope);
    return model;
  }

 private:
  StatusOr<at::Tensor> Read(const std::string& name) const {
    ANAM_ASSIGN_OR_RETURN(const at::Tensor stored,
                          ReadFinite(*files_.FileOf(name), *files_.Find(name)));
    return stored.to(device_, dtype_);
  }

  Status LoadNorm(const NormLayout& layout, Norm* norm) const {
    if (layout.module.empty()) return absl::OkStatus();
    norm->kind = config_.flags.norm;
    norm->eps = config_.norm_eps;
    ANAM_ASSIGN_OR_RETURN(norm->weight_D, Read(layout.module + ".weight"));
    if (layout.bias) {
      ANAM_ASSIGN_OR_RETURN(norm->bias_D, Read(layout.module + ".bias"));
    }
    return absl::OkStatus();
  }

  Status LoadLinear(const LinearLayout& layout, Linear* linear) const {
    linear->name = layout.module;
    if (packed_.Packs(layout.module)) {
      ANAM_ASSIGN_OR_RETURN(linear->packed, packed_.Load(layout));
    } else {
      ANAM_ASSIGN_OR_RETURN(linear->weight, Read(layout.module + ".weight"));
    }
    if (layout.bias) {
      ANAM_ASSIGN_OR_RETURN(at::Tensor bias, Read(layout.module + ".bias"));
      linear->bias = std::move(bias);
    }
    return absl::OkStatus();
  }

  Status LoadLinears(const std::vector<LinearLayout>& layouts, std::vector<Linear>* linears) const {
    linears->resize(layouts.size());
    for (size_t i = 0; i < layouts.size(); ++i) {
      ANAM_RETURN_IF_ERROR(LoadLinear(layouts[i], &(*linears)[i]));
    }
    return absl::OkStatus();
  }

  Status LoadLayer(const LayerLayout& layout, size_t index, DecoderLayer* layer) const {
    Attention& attention = layer->attention;
    attention.shape = {.num_heads = config_.num_attention_heads,
                       .num_key_value_heads = config_.num_key_value_heads,
                       .head_dim = config_.head_dim,
                       .scale = 1.0 / std::sqrt(config_.query_pre_attn_scalar > 0
                                                    ? config_.query_pre_attn_scalar
                                                    : static_cast<double>(config_.head_dim)),
                       .softcap = config_.attn_logit_softcapping,
                       .window = config_.WindowOf(static_cast<int64_t>(index))};
    layer->mlp.gated = config_.flags.gated_mlp;
    layer->mlp.activation = ActivationOf(config_.hidden_act);
    ANAM_RETURN_IF_ERROR(LoadNorm(layout.input_norm, &layer->input_norm));
    ANAM_RETURN_IF_ERROR(LoadLinears(layout.attention_in, &attention.in));
    ANAM_RETURN_IF_ERROR(LoadNorm(layout.q_norm, &attention.q_norm));
    ANAM_RETURN_IF_ERROR(LoadNorm(layout.k_norm, &attention.k_norm));
    ANAM_RETURN_IF_ERROR(LoadLinear(layout.attention_out, &attention.out));
    ANAM_RETURN_IF_ERROR(LoadNorm(layout.post_attention_norm, &layer->post_attention_norm));
    ANAM_RETURN_IF_ERROR(LoadNorm(layout.pre_mlp_norm, &layer->pre_mlp_norm));
    ANAM_RETURN_IF_ERROR(LoadLinears(layout.mlp_in, &layer->mlp.in));
    ANAM_RETURN_IF_ERROR(LoadLinear(layout.mlp_out, &layer->mlp.out));
    return LoadNorm(layout.post_mlp_norm, &layer->post_mlp_norm);
  }

  Status LoadHead(const LinearLayout& layout, Decoder* model) const {
    if (!config_.tie_word_embeddings) return LoadLinear(layout, &model->lm_head_);
    model->lm_head_.name = layout.module;
    model->lm_head_.weight = model->embedding_;
    if (!layout.bias) return absl::OkStatus();
    ANAM_ASSIGN_OR_RETURN(at::Tensor bias, Read(layout.module + ".bias"));
    model->lm_head_.bias = std::move(bias);
    return absl::OkStatus();
  }

  Rope RopeOf(const RopeConfig& rope) const {
    return Rope(rope, config_.head_dim, config_.max_position_embeddings, dtype_, device_);
  }

  const ModelConfig& config_;
  const WeightFiles& files_;
  const PackedLoader& packed_;
  at::ScalarType dtype_;
  at::Device device_;
};

StatusOr<std::unique_ptr<Decoder>> Decoder::Load(const std::string& directory, at::ScalarType dtype,
                                                 at::Device device, Quantisation quantisation) {
  ANAM_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(directory));
  ANAM_ASSIGN_OR_RETURN(const WeightFiles files, WeightFiles::Open(directory));
  ANAM_ASSIGN_OR_RETURN(
      const PackedLoader packed,
      PackedLoader::Open(directory, files, ExpectedTensors(config), quantisation, device));
  return DecoderLoader(config, files, packed, dtype, device).Load();
}

}  // namespace anamnesis::model
