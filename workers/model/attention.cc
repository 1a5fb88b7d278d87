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

// The same with capped scores: products in the model's dtype, cap and softmax in fp32.
at::Tensor Capped(const at::Tensor& q_1HLE, const at::Tensor& k_1KLE, const at::Tensor& v_1KLE,
                  const AttentionShape& shape, WindowMasks* masks) {
  const int64_t length = q_1HLE.size(2), key_heads = shape.num_key_value_heads;
  const at::Tensor q_KGE = q_1HLE.reshape({key_heads, -1, shape.head_dim});  // rows g · L + i
  const at::Tensor raw = q_KGE.bmm(k_1KLE.squeeze(0).transpose(1, 2));
  const at::Tensor wide = raw.to(WideType(raw.scalar_type())) * shape.scale;
  const at::Tensor capped_HLL =
      SoftCap(wide, shape.softcap).view({shape.num_heads, length, length});
  const int64_t window = shape.window > 0 ? shape.window : length;
  const at::Tensor hidden = masks->Of(length, window, q_1HLE.device()).logical_not();
  const at::Tensor p_HLL =
      RowSoftmax(capped_HLL.masked_fill(hidden, -std::numeric_limits<double>::infinity()));
  return p_HLL.to(q_1HLE.scalar_type())
      .view({key_heads, -1, length})
      .bmm(v_1KLE.squeeze(0))
      .view({1, shape.num_heads, length, shape.head_dim});
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
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < queries.size(); ++i) {
    const at::Tensor mixed_1HLE = shape.softcap > 0
                                      ? Capped(queries[i], keys[i], values[i], shape, masks)
                                      : Fused(queries[i], keys[i], values[i], shape, masks);
    out.push_back(mixed_1HLE.squeeze(0).transpose(0, 1));
  }
  return at::cat(out, 0).reshape({q_THE.size(0), -1});
}

at::Tensor Attention::Forward(const at::Tensor& x_TD, const RopeAngles& angles,
                              const std::vector<int64_t>& segment_lengths,
                              WindowMasks* masks) const {
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
  const at::Tensor q_THE = Rotate(heads(flat[0], q_norm), angles);
  const at::Tensor k_TKE = Rotate(heads(flat[1], k_norm), angles);
  const at::Tensor v_TKE = heads(flat[2], Norm());
  return out.Forward(SegmentAttention(q_THE, k_TKE, v_TKE, segment_lengths, shape, masks));
}

}  // namespace anamnesis::model
