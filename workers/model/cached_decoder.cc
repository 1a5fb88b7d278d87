// SPDX-License-Identifier: Apache-2.0
#include "workers/model/cached_decoder.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "common/base/check.h"

namespace anamnesis::model {

CachedDecoder::CachedDecoder(const Decoder& decoder)
    : decoder_(decoder), layers_(decoder.layers_.size()) {}

bool CachedDecoder::MustStartAgain(int64_t before) const {
  const ModelConfig& config = decoder_.config();
  const int64_t limit = config.rope.original_max_position_embeddings;
  return config.model_type == "phi3" && config.rope.type == "longrope" && before > 0 &&
         before <= limit && length() > limit;
}

at::Tensor CachedDecoder::Attend(const Attention& attention, const at::Tensor& x_TD,
                                 const RopeAngles& angles, Layer* layer) const {
  const Projected added = attention.Project(x_TD, angles);
  const auto joined = [](const at::Tensor& old, const at::Tensor& more) {
    return old.defined() ? at::cat({old, more}, 0) : more;
  };
  const at::Tensor k_SKE = joined(layer->k_SKE, added.k_TKE);
  const at::Tensor v_SKE = joined(layer->v_SKE, added.v_TKE);
  const at::Tensor mixed = LastQueriesAttention(added.q_THE, k_SKE, v_SKE, attention.shape);
  const int64_t length = k_SKE.size(0), window = attention.shape.window;
  const int64_t kept = window > 0 ? std::min(length, window - 1) : length;
  layer->k_SKE = k_SKE.narrow(0, length - kept, kept);
  layer->v_SKE = v_SKE.narrow(0, length - kept, kept);
  return attention.out.Forward(mixed);
}

at::Tensor CachedDecoder::Append(std::span<const int64_t> ids) {
  ANAM_CHECK(!ids.empty());
  const at::NoGradGuard no_grad;
  int64_t first = length();
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  if (MustStartAgain(first)) {
    layers_.assign(layers_.size(), Layer());
    first = 0;
  }
  const auto options = at::TensorOptions().dtype(at::kLong);
  const std::vector<int64_t> added(ids_.begin() + first, ids_.end());
  const int64_t count = static_cast<int64_t>(added.size());
  const at::Tensor ids_T = at::tensor(added, options).to(decoder_.device());
  const at::Tensor positions_T = at::arange(first, length(), options).to(decoder_.device());
  const RopeAngles angles = decoder_.rope_.Angles(positions_T, {count});
  const RopeAngles local_angles = decoder_.config_.flags.local_rope
                                      ? decoder_.local_rope_.Angles(positions_T, {count})
                                      : RopeAngles();
  at::Tensor hidden_TD = decoder_.Embedded(ids_T);
  for (size_t i = 0; i < layers_.size(); ++i) {
    hidden_TD = decoder_.Layer(i, hidden_TD, [&](const Attention& attention, const at::Tensor& x) {
      return Attend(attention, x, decoder_.IsLocal(i) ? local_angles : angles, &layers_[i]);
    });
  }
  const at::Tensor last_1D = hidden_TD.narrow(0, count - 1, 1);
  return decoder_.HeadLogits(decoder_.final_norm_.Forward(last_1D)).squeeze(0);
}

}  // namespace anamnesis::model
