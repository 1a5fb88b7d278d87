// SPDX-License-Identifier: Apache-2.0
#include "workers/model/decoder.h"

#include <algorithm>
#include <cmath>

#include "workers/model/head_loss.h"
#include "workers/model/recompute.h"

namespace anamnesis::model {
namespace {

// What all layers of one forward pass read.
struct Pass {
  RopeAngles angles, local_angles;
  std::vector<int64_t> segment_lengths;
  WindowMasks masks;
};

}  // namespace

at::Tensor Decoder::Embedded(const at::Tensor& ids_T) const {
  // The padding row gets no gradient, as in HF.
  at::Tensor out_TD = at::embedding(embedding_, ids_T, config_.pad_token_id);
  if (config_.flags.scaled_embedding) {
    // √D rounded to the model's dtype, as HF rounds it.
    const double scale = std::sqrt(static_cast<double>(config_.hidden_size));
    out_TD = out_TD * at::full({}, scale, out_TD.options().dtype(dtype_)).to(out_TD.scalar_type());
  }
  return Dropped(out_TD.to(dtype_), 0, config_.embd_pdrop);
}

at::Tensor Decoder::Dropped(const at::Tensor& x_TD, int64_t site, double p) const {
  return p > 0 && dropout_ ? dropout_->Forward(x_TD, site, p) : x_TD;
}

at::Tensor Decoder::Hidden(const PackedBatch& batch) const {
  const auto pass = std::make_shared<Pass>();  // shared with layers that are computed again
  pass->angles = rope_.Angles(batch.positions_T, batch.segment_lengths);
  if (config_.flags.local_rope) {
    pass->local_angles = local_rope_.Angles(batch.positions_T, batch.segment_lengths);
  }
  pass->segment_lengths = batch.segment_lengths;
  at::Tensor hidden_TD = Embedded(batch.ids_T);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Attend attend = [local = IsLocal(i), pass](const Attention& attention,
                                                     const at::Tensor& x_TD) {
      return attention.Forward(x_TD, local ? pass->local_angles : pass->angles,
                               pass->segment_lengths, &pass->masks);
    };
    const auto layer = [this, i, attend](const at::Tensor& x_TD) { return Layer(i, x_TD, attend); };
    // A frozen layer below the first trained one has no backward pass.
    const bool trains = hidden_TD.requires_grad() || HasOperation(layers_[i]);
    hidden_TD = checkpoint_layers_ && trains ? Recomputed(hidden_TD, layer) : layer(hidden_TD);
  }
  return final_norm_.Forward(hidden_TD);
}

bool Decoder::HasOperation(const DecoderLayer& layer) const {
  const auto has = [](const Linear& linear) { return linear.has_operation(); };
  return std::any_of(layer.attention.in.begin(), layer.attention.in.end(), has) ||
         has(layer.attention.out) || std::any_of(layer.mlp.in.begin(), layer.mlp.in.end(), has) ||
         has(layer.mlp.out);
}

bool Decoder::IsLocal(size_t index) const {
  return config_.flags.local_rope && config_.WindowOf(static_cast<int64_t>(index)) > 0;
}

at::Tensor Decoder::Layer(size_t index, const at::Tensor& hidden_TD, const Attend& attend) const {
  const DecoderLayer& layer = layers_[index];
  const int64_t site = 1 + 2 * static_cast<int64_t>(index);
  const at::Tensor x_TD = layer.input_norm.Forward(hidden_TD);
  at::Tensor mixed_TD = attend(layer.attention, x_TD);
  if (layer.post_attention_norm.exists()) mixed_TD = layer.post_attention_norm.Forward(mixed_TD);
  mixed_TD = Dropped(mixed_TD, site, config_.resid_pdrop);
  if (config_.flags.parallel_block) {
    return mixed_TD + Dropped(layer.mlp.Forward(x_TD), site + 1, config_.resid_pdrop) + hidden_TD;
  }
  const at::Tensor middle_TD = hidden_TD + mixed_TD;
  at::Tensor fed_TD = layer.mlp.Forward(layer.pre_mlp_norm.Forward(middle_TD));
  if (layer.post_mlp_norm.exists()) fed_TD = layer.post_mlp_norm.Forward(fed_TD);
  return middle_TD + Dropped(fed_TD, site + 1, config_.resid_pdrop);
}

at::Tensor Decoder::Logits(const PackedBatch& batch) const { return HeadLogits(Hidden(batch)); }

at::Tensor Decoder::HeadLogits(const at::Tensor& hidden_ND) const {
  const at::Tensor weight_DV = lm_head_.weight.to(dtype_).t();
  const at::Tensor logits = lm_head_.bias.has_value()
                                ? at::addmm(lm_head_.bias->to(dtype_), hidden_ND, weight_DV)
                                : hidden_ND.mm(weight_DV);
  const double cap = config_.final_logit_softcapping;
  return cap > 0 ? SoftCap(logits.to(WideType(dtype_)), cap).to(dtype_) : logits;
}

at::Tensor Decoder::LossSum(const PackedBatch& batch) const {
  const at::Tensor labelled_ND = Hidden(batch).index_select(0, batch.label_positions_N);
  return HeadLossSum(labelled_ND, lm_head_.weight, batch.labels_N,
                     lm_head_.bias.value_or(at::Tensor()), config_.final_logit_softcapping);
}

std::vector<Linear*> Decoder::linears() {
  std::vector<Linear*> out;
  for (DecoderLayer& layer : layers_) {
    for (Linear& linear : layer.attention.in) out.push_back(&linear);
    out.push_back(&layer.attention.out);
    for (Linear& linear : layer.mlp.in) out.push_back(&linear);
    out.push_back(&layer.mlp.out);
  }
  out.push_back(&lm_head_);
  return out;
}

}  // namespace anamnesis::model
