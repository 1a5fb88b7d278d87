// SPDX-License-Identifier: Apache-2.0
// Shapes: T ids of the batch, B documents, D hidden, H heads, E head dim, F intermediate, C
// classes.
#include "workers/encoder/encoder.h"

#include <memory>
#include <utility>

#include "common/base/check.h"
#include "workers/encoder/attention.h"
#include "workers/encoder/tensors.h"
#include "workers/model/fixed_blocks.h"
#include "workers/model/recompute.h"

namespace anamnesis::encoder {
namespace {

// Module numbers of dropout masks, beyond those of linear layers (which an adapter's dropout uses).
// Layer l has kLayerMasks + l · kMasksPerLayer + a LayerMask. attention.h has numbers of its own.
constexpr int64_t kEmbeddingMask = int64_t{1} << 24;
constexpr int64_t kHeadMask = kEmbeddingMask + 1;
constexpr int64_t kLogitsMask = kEmbeddingMask + 2;
constexpr int64_t kLayerMasks = kEmbeddingMask + 16;
constexpr int64_t kMasksPerLayer = 2;
enum LayerMask : int64_t { kAttentionOutMask, kMlpMask };

int64_t MaskOf(size_t layer, LayerMask mask) {
  return kLayerMasks + static_cast<int64_t>(layer) * kMasksPerLayer + mask;
}

using TensorMap = std::map<std::string, at::Tensor>;

// `ends` is ".weight" or ".bias"; undefined when there is no such tensor.
at::Tensor Find(const TensorMap& tensors, const std::string& name) {
  const auto it = tensors.find(name);
  return it == tensors.end() ? at::Tensor() : it->second;
}

void SetLinear(const TensorMap& tensors, const std::string& module, model::Linear* linear) {
  if (module.empty()) return;
  linear->name = module;
  linear->weight = Find(tensors, module + ".weight");
  ANAM_CHECK(linear->weight.defined());
  const at::Tensor bias = Find(tensors, module + ".bias");
  if (bias.defined()) linear->bias = bias;
}

void SetNorm(const TensorMap& tensors, const std::string& module, double eps, Norm* norm) {
  if (module.empty()) return;
  *norm = {Find(tensors, module + ".weight"), Find(tensors, module + ".bias"), eps};
  ANAM_CHECK(norm->weight_D.defined());
}

// Inverse frequencies [E/2] (Su et al. 2021), computed as HF does in fp32.
at::Tensor InverseFrequencies(double theta, int64_t head_dim, const at::TensorOptions& options) {
  const at::Tensor exponents = at::arange(0, head_dim, 2, options) / static_cast<double>(head_dim);
  return 1.0 / at::pow(at::Scalar(theta), exponents);
}

// x [T, H, E], rotated in the wide dtype: the first half of E is the real part.
at::Tensor Rotate(const at::Tensor& x_THE, const at::Tensor& cos_TE, const at::Tensor& sin_TE) {
  const at::Tensor wide = x_THE.to(cos_TE.scalar_type());
  const auto halves = wide.chunk(2, -1);
  const at::Tensor turned = at::cat({-halves[1], halves[0]}, -1);
  return (wide * cos_TE.unsqueeze(1) + turned * sin_TE.unsqueeze(1)).to(x_THE.scalar_type());
}

}  // namespace

Encoder::Encoder(EncoderConfig config, const std::map<std::string, at::Tensor>& tensors,
                 at::ScalarType compute)
    : config_(std::move(config)),
      compute_(compute),
      wide_(compute == at::kDouble ? at::kDouble : at::kFloat) {
  const EncoderNames names = NamesOf(config_);
  const double eps = config_.layer_norm_eps;
  word_ = Find(tensors, names.word + ".weight");
  ANAM_CHECK(word_.defined());
  position_ = Find(tensors, names.position + ".weight");
  token_type_ = Find(tensors, names.token_type + ".weight");
  SetNorm(tensors, names.embedding_norm, eps, &embedding_norm_);
  SetLinear(tensors, names.projection, &projection_);
  layers_ = std::vector<EncoderLayer>(names.layers.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerNames& from = names.layers[i];
    EncoderLayer& layer = layers_[i];
    SetLinear(tensors, from.query, &layer.query);
    SetLinear(tensors, from.key, &layer.key);
    SetLinear(tensors, from.value, &layer.value);
    SetLinear(tensors, from.qkv, &layer.qkv);
    SetLinear(tensors, from.attention_out, &layer.attention_out);
    SetLinear(tensors, from.up, &layer.up);
    SetLinear(tensors, from.down, &layer.down);
    SetNorm(tensors, from.attention_norm, eps, &layer.attention_norm);
    SetNorm(tensors, from.output_norm, eps, &layer.output_norm);
    layer.is_local = i < config_.layer_is_local.size() && config_.layer_is_local[i];
  }
  SetNorm(tensors, names.final_norm, eps, &final_norm_);
  SetLinear(tensors, names.head_dense, &head_dense_);
  SetNorm(tensors, names.head_norm, eps, &head_norm_);
  SetLinear(tensors, names.classifier, &classifier_);
  if (config_.IsModern()) {
    const auto options = word_.options().dtype(wide_).requires_grad(false);
    global_inv_freq_ = InverseFrequencies(config_.global_rope_theta, config_.head_dim(), options);
    local_inv_freq_ = InverseFrequencies(config_.local_rope_theta, config_.head_dim(), options);
  }
  int64_t ordinal = 0;
  for (model::Linear* linear : linears()) linear->ordinal = ordinal++;
}

std::vector<model::Linear*> Encoder::linears() {
  std::vector<model::Linear*> out;
  const auto add = [&](model::Linear* linear) {
    if (linear->weight.defined()) out.push_back(linear);
  };
  add(&projection_);
  for (EncoderLayer& layer : layers_) {
    for (model::Linear* linear : {&layer.query, &layer.key, &layer.value, &layer.qkv,
                                  &layer.attention_out, &layer.up, &layer.down}) {
      add(linear);
    }
  }
  add(&head_dense_);
  add(&classifier_);
  return out;
}

at::Tensor Encoder::Apply(const model::Linear& linear, const at::Tensor& x) const {
  return linear.Forward(x.to(compute_));
}

at::Tensor Encoder::Embedded(const EncoderBatch& batch,
                             const adapter::DropoutContext& dropout) const {
  at::Tensor sum_TD = at::embedding(word_, batch.ids_T, config_.pad_token_id);
  if (token_type_.defined()) sum_TD = sum_TD + at::embedding(token_type_, batch.token_types_T);
  if (position_.defined()) {
    const int64_t no_gradient = config_.family == Family::kRoberta ? config_.pad_token_id : -1;
    sum_TD = sum_TD + at::embedding(position_, batch.positions_T, no_gradient);
  }
  const at::Tensor normed_TD = Dropout(LayerNorm(sum_TD, embedding_norm_), dropout, kEmbeddingMask,
                                       config_.embedding_dropout);
  return projection_.weight.defined() ? Apply(projection_, normed_TD).to(wide_) : normed_TD;
}

at::Tensor Encoder::Hidden(const EncoderBatch& batch,
                           const adapter::DropoutContext& dropout) const {
  const at::Tensor hidden_TD = Layers(Embedded(batch, dropout), batch, dropout);
  return final_norm_.weight_D.defined() ? LayerNorm(hidden_TD, final_norm_) : hidden_TD;
}

at::Tensor Encoder::Layers(at::Tensor hidden_TD, const EncoderBatch& batch,
                           const adapter::DropoutContext& dropout) const {
  const auto run = [this](size_t i, const at::Tensor& x_TD, const EncoderBatch& rows,
                          const adapter::DropoutContext& mask) {
    return config_.IsModern() ? ModernLayer(i, x_TD, rows, mask) : Layer(i, x_TD, rows, mask);
  };
  if (!checkpoint_layers_ || !at::GradMode::is_enabled()) {
    for (size_t i = 0; i < layers_.size(); ++i) hidden_TD = run(i, hidden_TD, batch, dropout);
    return hidden_TD;
  }
  // Shared with the layers when they are computed again.
  const auto pass =
      std::make_shared<std::pair<EncoderBatch, adapter::DropoutContext>>(batch, dropout);
  for (size_t i = 0; i < layers_.size(); ++i) {
    hidden_TD = model::Recomputed(hidden_TD, [run, i, pass](const at::Tensor& x_TD) {
      return run(i, x_TD, pass->first, pass->second);
    });
  }
  return hidden_TD;
}

at::Tensor Encoder::Layer(size_t index, const at::Tensor& hidden_TD, const EncoderBatch& batch,
                          const adapter::DropoutContext& dropout) const {
  const EncoderLayer& layer = layers_[index];
  const at::Tensor in_TD = hidden_TD.to(compute_);
  const auto heads = [&](const model::Linear& linear) {
    return linear.Forward(in_TD).view({in_TD.size(0), -1, config_.head_dim()});
  };
  const AttentionOptions options{
      .window = 0, .dropout = config_.attention_dropout, .layer = static_cast<int64_t>(index)};
  const at::Tensor mixed_TD = Attention(heads(layer.query), heads(layer.key), heads(layer.value),
                                        batch.lengths, options, dropout);
  at::Tensor out_TD = Apply(layer.attention_out, mixed_TD);
  if (config_.family != Family::kDistilBert) {  // which has no dropout here
    out_TD = Dropout(out_TD, dropout, MaskOf(index, kAttentionOutMask), config_.hidden_dropout);
  }
  const at::Tensor middle_TD = LayerNorm(out_TD.to(wide_) + hidden_TD, layer.attention_norm);
  const at::Tensor inner_TF = Activate(config_.activation, Apply(layer.up, middle_TD));
  const at::Tensor mlp_TD = Dropout(Apply(layer.down, inner_TF), dropout, MaskOf(index, kMlpMask),
                                    config_.hidden_dropout);
  return LayerNorm(mlp_TD.to(wide_) + middle_TD, layer.output_norm);
}

at::Tensor Encoder::ModernLayer(size_t index, const at::Tensor& hidden_TD,
                                const EncoderBatch& batch,
                                const adapter::DropoutContext& dropout) const {
  const EncoderLayer& layer = layers_[index];
  const at::Tensor& inv_freq = layer.is_local ? local_inv_freq_ : global_inv_freq_;
  const at::Tensor half = batch.offsets_T.to(wide_).unsqueeze(1) * inv_freq.unsqueeze(0);
  const at::Tensor angles_TE = at::cat({half, half}, -1);
  const at::Tensor cos_TE =
      model::InFixedBlocks([](const auto& x) { return at::cos(x); }, angles_TE);
  const at::Tensor sin_TE =
      model::InFixedBlocks([](const auto& x) { return at::sin(x); }, angles_TE);

  const at::Tensor in_TD = layer.attention_norm.weight_D.defined()
                               ? LayerNorm(hidden_TD, layer.attention_norm)
                               : hidden_TD;
  const auto parts =
      Apply(layer.qkv, in_TD).view({in_TD.size(0), 3, -1, config_.head_dim()}).unbind(1);
  const AttentionOptions options{.window = layer.is_local ? config_.local_window : 0,
                                 .dropout = config_.attention_dropout,
                                 .layer = static_cast<int64_t>(index)};
  const at::Tensor mixed_TD =
      Attention(Rotate(parts[0], cos_TE, sin_TE), Rotate(parts[1], cos_TE, sin_TE), parts[2],
                batch.lengths, options, dropout);
  const at::Tensor out_TD = Dropout(Apply(layer.attention_out, mixed_TD), dropout,
                                    MaskOf(index, kAttentionOutMask), config_.hidden_dropout);
  const at::Tensor middle_TD = hidden_TD + out_TD;
  const at::Tensor gated_TF =
      GatedActivation(config_.activation, Apply(layer.up, LayerNorm(middle_TD, layer.output_norm)));
  const at::Tensor dropped_TF =
      Dropout(gated_TF, dropout, MaskOf(index, kMlpMask), config_.mlp_dropout);
  return middle_TD + Apply(layer.down, dropped_TF);
}

at::Tensor Encoder::Logits(const EncoderBatch& batch,
                           const adapter::DropoutContext& dropout) const {
  const adapter::DropoutContext by_document = PerDocument(dropout);
  const double p = config_.classifier_dropout;
  const at::Tensor hidden_TD = Hidden(batch, dropout);
  at::Tensor pooled_BD = config_.mean_pooling ? DocumentMeans(hidden_TD, batch.lengths)
                                              : hidden_TD.index_select(0, batch.first_B);
  const bool drops_input = config_.family == Family::kRoberta || config_.family == Family::kElectra;
  if (drops_input) pooled_BD = Dropout(pooled_BD, by_document, kHeadMask, p);
  Activation activation = Activation::kTanh;  // bert's pooler and roberta
  if (config_.family == Family::kDistilBert) activation = Activation::kRelu;
  if (config_.family == Family::kElectra) activation = Activation::kGelu;
  if (config_.IsModern()) activation = config_.classifier_activation;
  at::Tensor dense_BD = Activate(activation, Apply(head_dense_, pooled_BD));
  if (head_norm_.weight_D.defined()) dense_BD = LayerNorm(dense_BD.to(wide_), head_norm_);
  return Apply(classifier_, Dropout(dense_BD, by_document, kLogitsMask, p));
}

}  // namespace anamnesis::encoder
