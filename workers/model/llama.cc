// SPDX-License-Identifier: Apache-2.0
// Shapes: T ids of the batch, L ids of a segment, D hidden, H heads, K key/value heads, E head dim,
// F intermediate, V vocabulary.
#include "workers/model/llama.h"

#include <cmath>
#include <numbers>
#include <utility>

#include "common/base/check.h"
#include "workers/model/fixed_blocks.h"
#include "workers/model/head_loss.h"
#include "workers/model/weight_files.h"
#include "workers/model/weights.h"

namespace anamnesis::model {
namespace {

at::ScalarType WideType(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

// Inverse frequencies [E/2], computed as HF's modeling_rope_utils does (in fp32 for fp32 and bf16,
// so that angles agree bit for bit).
at::Tensor InverseFrequencies(const ModelConfig& config, at::ScalarType dtype, at::Device device) {
  const RopeConfig& rope = config.rope;
  const auto options = at::TensorOptions().dtype(WideType(dtype)).device(device);
  const at::Tensor exponents =
      at::arange(0, config.head_dim, 2, options) / static_cast<double>(config.head_dim);
  const at::Tensor inv_freq = 1.0 / at::pow(at::Scalar(rope.theta), exponents);
  if (rope.type == "default") return inv_freq;
  if (rope.type == "linear") return inv_freq / rope.factor;
  // llama3: long waves are divided by the factor, short ones kept, those between blended.
  const double old_length = static_cast<double>(rope.original_max_position_embeddings);
  const double low_wavelength = old_length / rope.low_freq_factor;
  const double high_wavelength = old_length / rope.high_freq_factor;
  const at::Tensor wavelength = 2.0 * std::numbers::pi / inv_freq;
  const at::Tensor scaled =
      at::where(wavelength > low_wavelength, inv_freq / rope.factor, inv_freq);
  const at::Tensor smooth = (old_length / wavelength - rope.low_freq_factor) /
                            (rope.high_freq_factor - rope.low_freq_factor);
  const at::Tensor blended = (1.0 - smooth) * scaled / rope.factor + smooth * scaled;
  const at::Tensor is_medium =
      (wavelength >= high_wavelength).logical_and(wavelength <= low_wavelength);
  return at::where(is_medium, blended, scaled);
}

// w · x / sqrt(mean(x²) + eps), the quotient in fp32 (Zhang and Sennrich 2019, as HF rounds it).
at::Tensor RmsNorm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  const at::Tensor wide = x_TD.to(WideType(x_TD.scalar_type()));
  const at::Tensor scale = (wide.pow(2).mean(-1, /*keepdim=*/true) + eps).rsqrt();
  return weight_D * (wide * scale).to(x_TD.scalar_type());
}

// x [T, heads, E]: the first half of E is the real part, the second the imaginary one.
at::Tensor Rotate(const at::Tensor& x_THE, const at::Tensor& cos_TE, const at::Tensor& sin_TE) {
  const auto halves = x_THE.chunk(2, -1);
  const at::Tensor rotated = at::cat({-halves[1], halves[0]}, -1);
  return x_THE * cos_TE.unsqueeze(1) + rotated * sin_TE.unsqueeze(1);
}

Linear& LinearOf(LlamaLayer* layer, const std::string& part) {
  if (part == "self_attn.q_proj") return layer->q_proj;
  if (part == "self_attn.k_proj") return layer->k_proj;
  if (part == "self_attn.v_proj") return layer->v_proj;
  if (part == "self_attn.o_proj") return layer->o_proj;
  if (part == "mlp.gate_proj") return layer->gate_proj;
  if (part == "mlp.up_proj") return layer->up_proj;
  ANAM_CHECK(part == "mlp.down_proj");
  return layer->down_proj;
}

}  // namespace

StatusOr<std::unique_ptr<Llama>> Llama::Load(const std::string& directory, at::ScalarType dtype,
                                             at::Device device) {
  ANAM_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(directory));
  ANAM_ASSIGN_OR_RETURN(const WeightFiles files, WeightFiles::Open(directory));
  ANAM_RETURN_IF_ERROR(files.CheckAgainst(ExpectedTensors(config)));
  std::unique_ptr<Llama> model(new Llama());
  model->config_ = config;
  model->dtype_ = dtype;
  model->device_ = device;
  model->layers_ = std::vector<LlamaLayer>(static_cast<size_t>(config.num_hidden_layers));
  for (const ExpectedTensor& expected : ExpectedTensors(config)) {
    ANAM_ASSIGN_OR_RETURN(const at::Tensor stored,
                          ReadTensor(*files.FileOf(expected.name), *files.Find(expected.name)));
    model->Assign(expected.name, stored.to(device, dtype));
  }
  if (config.tie_word_embeddings) model->lm_head_.weight = model->embedding_;
  model->lm_head_.name = "lm_head";
  int64_t ordinal = 0;
  for (Linear* linear : model->linears()) linear->ordinal = ordinal++;
  model->inv_freq_ = InverseFrequencies(config, dtype, device);
  return model;
}

void Llama::Assign(const std::string& name, const at::Tensor& tensor) {
  if (name == "model.embed_tokens.weight") {
    embedding_ = tensor;
  } else if (name == "model.norm.weight") {
    norm_ = tensor;
  } else if (name == "lm_head.weight") {
    lm_head_.weight = tensor;
  } else {
    // model.layers.<index>.<part>[.<projection>].(weight|bias)
    static const std::string kPrefix = "model.layers.";
    const size_t dot = name.find('.', kPrefix.size());
    const size_t last = name.rfind('.');
    const size_t index = std::stoul(name.substr(kPrefix.size(), dot - kPrefix.size()));
    LlamaLayer& layer = layers_[index];
    const std::string part = name.substr(dot + 1, last - dot - 1);
    if (part == "input_layernorm") {
      layer.input_norm = tensor;
    } else if (part == "post_attention_layernorm") {
      layer.post_attention_norm = tensor;
    } else {
      Linear& linear = LinearOf(&layer, part);
      linear.name = name.substr(0, last);
      (name.ends_with(".bias") ? linear.bias.emplace() : linear.weight) = tensor;
    }
  }
}

at::Tensor Llama::Hidden(const PackedBatch& batch) const {
  const at::Tensor angles =
      batch.positions_T.to(inv_freq_.scalar_type()).unsqueeze(1) * inv_freq_.unsqueeze(0);
  const at::Tensor angles_TE = at::cat({angles, angles}, -1);
  const at::Tensor cos_TE =
      InFixedBlocks([](const auto& x) { return at::cos(x); }, angles_TE).to(dtype_);
  const at::Tensor sin_TE =
      InFixedBlocks([](const auto& x) { return at::sin(x); }, angles_TE).to(dtype_);
  at::Tensor hidden_TD = at::embedding(embedding_, batch.ids_T).to(dtype_);
  for (const LlamaLayer& layer : layers_) {
    hidden_TD = Layer(layer, hidden_TD, cos_TE, sin_TE, batch.segment_lengths);
  }
  return RmsNorm(hidden_TD, norm_, config_.rms_norm_eps);
}

at::Tensor Llama::Logits(const PackedBatch& batch) const {
  return Hidden(batch).mm(lm_head_.weight.to(dtype_).t());
}

at::Tensor Llama::LossSum(const PackedBatch& batch) const {
  const at::Tensor labelled_ND = Hidden(batch).index_select(0, batch.label_positions_N);
  return HeadLossSum(labelled_ND, lm_head_.weight, batch.labels_N);
}

std::vector<Linear*> Llama::linears() {
  std::vector<Linear*> out;
  for (LlamaLayer& layer : layers_) {
    for (Linear* linear : {&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.o_proj,
                           &layer.gate_proj, &layer.up_proj, &layer.down_proj}) {
      out.push_back(linear);
    }
  }
  out.push_back(&lm_head_);
  return out;
}

at::Tensor Llama::Layer(const LlamaLayer& layer, const at::Tensor& hidden_TD,
                        const at::Tensor& cos_TE, const at::Tensor& sin_TE,
                        const std::vector<int64_t>& segment_lengths) const {
  const at::Tensor attention_in = RmsNorm(hidden_TD, layer.input_norm, config_.rms_norm_eps);
  const at::Tensor middle_TD =
      hidden_TD + Attention(layer, attention_in, cos_TE, sin_TE, segment_lengths);
  const at::Tensor mlp_in = RmsNorm(middle_TD, layer.post_attention_norm, config_.rms_norm_eps);
  const at::Tensor product_TF =
      SwiGlu(layer.gate_proj.Forward(mlp_in), layer.up_proj.Forward(mlp_in));
  return middle_TD + layer.down_proj.Forward(product_TF);
}

at::Tensor Llama::Attention(const LlamaLayer& layer, const at::Tensor& x_TD,
                            const at::Tensor& cos_TE, const at::Tensor& sin_TE,
                            const std::vector<int64_t>& segment_lengths) const {
  const int64_t tokens = x_TD.size(0);
  const auto heads = [&](const at::Tensor& flat) {
    return flat.view({tokens, -1, config_.head_dim});
  };
  // One call per segment: attention never crosses a segment and no T×T mask exists.
  const auto by_segment = [&](const at::Tensor& x_THE) {
    return x_THE.transpose(0, 1).unsqueeze(0).split_with_sizes(segment_lengths, 2);
  };
  const auto queries = by_segment(Rotate(heads(layer.q_proj.Forward(x_TD)), cos_TE, sin_TE));
  const auto keys = by_segment(Rotate(heads(layer.k_proj.Forward(x_TD)), cos_TE, sin_TE));
  const auto values = by_segment(heads(layer.v_proj.Forward(x_TD)));
  const bool grouped = config_.num_key_value_heads != config_.num_attention_heads;
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < queries.size(); ++i) {
    const at::Tensor mixed_1HLE = at::scaled_dot_product_attention(
        queries[i], keys[i], values[i], /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/true,
        /*scale=*/std::nullopt, /*enable_gqa=*/grouped);
    out.push_back(mixed_1HLE.squeeze(0).transpose(0, 1));
  }
  return layer.o_proj.Forward(at::cat(out, 0).reshape({tokens, -1}));
}

}  // namespace anamnesis::model
