// SPDX-License-Identifier: Apache-2.0
// G = H / K query heads share a key head; query head h = k · G + g, as in HF.
#include "workers/model/attention.h"

#include <limits>
#include <utility>

#include "workers/model/activations.h"

namespace anamnesis::model {
namespace {

// ATen's fused attention of one segment; [1, H, L, E].
at::Tensor Fused(const at::Tensor& q_1HLE, const at::Tensor& k_1KLE, const at::Tensor& v_1KLE,
                 const AttentionShape& shape, WindowMasks* masks) {
  const int64_t length = q_1HLE.size(2);
  c10::optional<at::Tensor> mask;
  if (shape.window > 0 && length > shape.window) {
    mask = masks->Of(length, shape.window, q_1HLE.device());
  }
  return at::scaled_dot_product_attention(q_1HLE, k_1KLE, v_1KLE, mask, /*dropout_p=*/0.0,
                                          /*is_causal=*/!mask.has_value(), shape.scale,
                                          shape.num_heads != shape.num_key_value_heads);
}

// The same with capped scores: products in the model's dtype, cap and softmax in fp32. visible bool
// [L, S], or undefined: every query sees every key.
at::Tensor Capped(const at::Tensor& q_1HLE, const at::Tensor& k_1KSE, const at::Tensor& v_1KSE,
                  const AttentionShape& shape, const at::Tensor& visible_LS) {
  const int64_t queries = q_1HLE.size(2), keys = k_1KSE.size(2);
  const int64_t key_heads = shape.num_key_value_heads;
  const at::Tensor q_KGE = q_1HLE.reshape({key_heads, -1, shape.head_dim});  // rows g · L + i
  const at::Tensor raw = q_KGE.bmm(k_1KSE.squeeze(0).transpose(1, 2));
  const at::Tensor wide = raw.to(WideType(raw.scalar_type())) * shape.scale;
  at::Tensor capped_HLS = SoftCap(wide, shape.softcap).view({shape.num_heads, queries, keys});
  if (visible_LS.defined()) {
    capped_HLS =
        capped_HLS.masked_fill(visible_LS.logical_not(), -std::numeric_limits<double>::infinity());
  }
  const at::Tensor p_HLS = RowSoftmax(capped_HLS);
  return p_HLS.to(q_1HLE.scalar_type())
      .view({key_heads, -1, keys})
      .bmm(v_1KSE.squeeze(0))
      .view({1, shape.num_heads, queries, shape.head_dim});
}

}  // namespace

const at::Tensor& WindowMasks::Of(int64_t length, int64_t window, at::Device device) {
  at::Tensor& mask = masks_[{length, window}];
  if (!mask.defined()) {
    mask = at::ones({length, length}, at::TensorOptions().dtype(at::kBool).device(device))
               .tril()
               .triu(1 - window);
  }
  return mask;
}

at::Tensor SegmentAttention(const at::Tensor& q_THE, const at::Tensor& k_TKE,
                            const at::Tensor& v_TKE, const std::vector<int64_t>& segment_lengths,
                            const AttentionShape& shape, WindowMasks* masks) {
  const auto by_segment = [&](const at::Tensor& x_THE) {
    return x_THE.transpose(0, 1).unsqueeze(0).split_with_sizes(segment_lengths, 2);
  };
  const auto queries = by_segment(q_THE), keys = by_segment(k_TKE), values = by_segment(v_TKE);
  const auto capped = [&](size_t i) {
    const int64_t length = segment_lengths[i];
    const at::Tensor& visible =
        masks->Of(length, shape.window > 0 ? shape.window : length, q_THE.device());
    return Capped(queries[i], keys[i], values[i], shape, visible);
  };
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < queries.size(); ++i) {
    const at::Tensor mixed_1HLE =
        shape.softcap > 0 ? capped(i) : Fused(queries[i], keys[i], values[i], shape, masks);
    out.push_back(mixed_1HLE.squeeze(0).transpose(0, 1));
  }
  return at::cat(out, 0).reshape({q_THE.size(0), -1});
}

at::Tensor LastQueriesAttention(const at::Tensor& q_NHE, const at::Tensor& k_SKE,
                                const at::Tensor& v_SKE, const AttentionShape& shape) {
  const int64_t queries = q_NHE.size(0), keys = k_SKE.size(0);
  if (queries == keys) {
    WindowMasks masks;
    return SegmentAttention(q_NHE, k_SKE, v_SKE, {keys}, shape, &masks);
  }
  at::Tensor visible_NS;  // a single query sees all that it is given, but for a window
  if (queries > 1 || (shape.window > 0 && keys > shape.window)) {
    // Query i stands at position keys − queries + i.
    const int64_t before = keys - queries;
    visible_NS =
        at::ones({queries, keys}, at::TensorOptions().dtype(at::kBool).device(q_NHE.device()))
            .tril(before);
    if (shape.window > 0) visible_NS = visible_NS.triu(before + 1 - shape.window);
  }
  const auto heads_first = [](const at::Tensor& x) { return x.transpose(0, 1).unsqueeze(0); };
  const at::Tensor q = heads_first(q_NHE), k = heads_first(k_SKE), v = heads_first(v_SKE);
  const auto fused = [&] {
    const auto mask =
        visible_NS.defined() ? c10::optional<at::Tensor>(visible_NS) : c10::optional<at::Tensor>();
    return at::scaled_dot_product_attention(q, k, v, mask, /*dropout_p=*/0.0, /*is_causal=*/false,
                                            shape.scale,
                                            shape.num_heads != shape.num_key_value_heads);
  };
  const at::Tensor mixed_1HNE = shape.softcap > 0 ? Capped(q, k, v, shape, visible_NS) : fused();
  return mixed_1HNE.squeeze(0).transpose(0, 1).reshape({queries, -1});
}

Projected Attention::Project(const at::Tensor& x_TD, const RopeAngles& angles) const {
  std::vector<at::Tensor> flat;  // q, k, v
  if (in.size() == 1) {
    const int64_t queries = shape.num_heads * shape.head_dim;
    const int64_t keys = shape.num_key_value_heads * shape.head_dim;
    flat = in[0].Forward(x_TD).split_with_sizes({queries, keys, keys}, 1);
  } else {
    for (const Linear& linear : in) flat.push_back(linear.Forward(x_TD));
  }
  const auto heads = [&](const at::Tensor& x, const Norm& norm) {
    const at::Tensor x_THE = x.reshape({x.size(0), -1, shape.head_dim});
    return norm.exists() ? norm.Forward(x_THE) : x_THE;
  };
  return {Rotate(heads(flat[0], q_norm), angles), Rotate(heads(flat[1], k_norm), angles),
          heads(flat[2], Norm())};
}

at::Tensor Attention::Forward(const at::Tensor& x_TD, const RopeAngles& angles,
                              const std::vector<int64_t>& segment_lengths,
                              WindowMasks* masks) const {
  const Projected projected = Project(x_TD, angles);
  return out.Forward(SegmentAttention(projected.q_THE, projected.k_TKE, projected.v_TKE,
                                      segment_lengths, shape, masks));
}

}  // namespace anamnesis::model
