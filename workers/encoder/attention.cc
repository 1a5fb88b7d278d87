// SPDX-License-Identifier: Apache-2.0
// Shapes: T ids of the batch, L ids of a document, H heads, E head dim.
#include "workers/encoder/attention.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <map>

#include "common/base/check.h"
#include "workers/encoder/operations.h"

namespace anamnesis::encoder {
namespace {

constexpr int64_t kModuleBit = int64_t{1} << 31;
constexpr int64_t kMaxHeads = 4096;

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// True where query i sees key j, [L, L]; undefined when every key is seen.
at::Tensor WindowMask(int64_t length, int64_t window, at::Device device) {
  if (window == 0 || length <= window + 1) return {};
  const at::Tensor place = at::arange(length, at::TensorOptions().device(device));
  return (place.unsqueeze(0) - place.unsqueeze(1)).abs().le(window);
}

// Everything about the batch that the backward pass needs beside q, k and v.
struct Batch {
  std::vector<int64_t> lengths;
  int64_t window = 0;
  int64_t layer = 0;
  double p = 0;
  adapter::DropoutContext context;
};

// One head of one document.
struct Head {
  at::Tensor Of(const at::Tensor& x_HTE) const { return x_HTE[head].narrow(0, start, length); }
  at::Tensor Drop(const at::Tensor& probability_LL) const {
    return adapter::ApplyDropout(probability_LL, context, module, batch.p);
  }
  at::Tensor Probabilities(const at::Tensor& q_HTE, const at::Tensor& k_HTE) const {
    const at::Tensor product_LL = Of(q_HTE).mm(Of(k_HTE).t());
    at::Tensor scores_LL = WideOf(product_LL) * Scale(q_HTE);
    const at::Tensor seen_LL = WindowMask(length, batch.window, q_HTE.device());
    if (seen_LL.defined()) scores_LL = scores_LL.masked_fill(seen_LL.logical_not(), -INFINITY);
    return at::softmax(scores_LL, -1);
  }
  static double Scale(const at::Tensor& q_HTE) {
    return 1.0 / std::sqrt(static_cast<double>(q_HTE.size(2)));
  }
  static at::Tensor WideOf(const at::Tensor& x) {
    return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  }

  const Batch& batch;
  int64_t head = 0;
  int64_t start = 0;  // of the document in the batch
  int64_t length = 0;
  int64_t module = 0;
  adapter::DropoutContext context;  // of this document's row alone
};

// Calls fn(Head) for every head of every document. Each runs on one thread from beginning to end,
// so that no product is cut by the number of threads.
template <typename Fn>
void ForEachHead(const Batch& batch, int64_t num_heads, const Fn& fn) {
  std::vector<int64_t> starts;
  int64_t end = 0;
  for (const int64_t length : batch.lengths) {
    starts.push_back(end);
    end += length;
  }
  const int64_t tasks = static_cast<int64_t>(batch.lengths.size()) * num_heads;
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    const at::NoGradGuard no_grad;
    for (int64_t task = first; task < last; ++task) {
      const size_t i = static_cast<size_t>(task / num_heads);
      Head head{.batch = batch,
                .head = task % num_heads,
                .start = starts[i],
                .length = batch.lengths[i],
                .module = AttentionModule(batch.layer, task % num_heads),
                .context = {batch.context.seed, batch.context.step, {}, true}};
      head.context.rows = {{batch.context.rows[i].global_row, batch.lengths[i]}};
      fn(head);
    }
  });
}

class DroppedAttention : public torch::autograd::Function<DroppedAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q_HTE,
                            const at::Tensor& k_HTE, const at::Tensor& v_HTE, const Batch& batch) {
    context->save_for_backward({q_HTE, k_HTE, v_HTE});
    context->saved_data["lengths"] = batch.lengths;
    context->saved_data["window"] = batch.window;
    context->saved_data["layer"] = batch.layer;
    context->saved_data["p"] = batch.p;
    context->saved_data["mask"] = Packed(batch.context);
    at::Tensor out_HTE = at::empty_like(v_HTE);
    ForEachHead(batch, q_HTE.size(0), [&](const Head& head) {
      const at::Tensor dropped_LL = head.Drop(head.Probabilities(q_HTE, k_HTE));
      at::Tensor out_LE = head.Of(out_HTE);
      at::mm_out(out_LE, dropped_LL.to(v_HTE.scalar_type()), head.Of(v_HTE));
    });
    return out_HTE;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &q_HTE = saved[0], &k_HTE = saved[1], &v_HTE = saved[2];
    const Batch batch{context->saved_data["lengths"].toIntVector(),
                      context->saved_data["window"].toInt(), context->saved_data["layer"].toInt(),
                      context->saved_data["p"].toDouble(),
                      Unpacked(context->saved_data["mask"].toIntVector())};
    const at::Tensor dy_HTE = grads[0].contiguous();
    const at::Tensor dq = at::empty_like(q_HTE), dk = at::empty_like(k_HTE),
                     dv = at::empty_like(v_HTE);
    const at::ScalarType dtype = q_HTE.scalar_type();
    ForEachHead(batch, q_HTE.size(0), [&](const Head& head) {
      const at::Tensor probability_LL = head.Probabilities(q_HTE, k_HTE);
      const at::Tensor dy_LE = head.Of(dy_HTE);
      at::Tensor dq_LE = head.Of(dq), dk_LE = head.Of(dk), dv_LE = head.Of(dv);
      at::mm_out(dv_LE, head.Drop(probability_LL).to(dtype).t(), dy_LE);
      const at::Tensor through_LL = head.Drop(Head::WideOf(dy_LE.mm(head.Of(v_HTE).t())));
      const at::Tensor dscores_LL = (at::_softmax_backward_data(through_LL, probability_LL, -1,
                                                                probability_LL.scalar_type()) *
                                     Head::Scale(q_HTE))
                                        .to(dtype);
      at::mm_out(dq_LE, dscores_LL, head.Of(k_HTE));
      at::mm_out(dk_LE, dscores_LL.t(), head.Of(q_HTE));
    });
    return {dq, dk, dv, at::Tensor()};
  }
};

}  // namespace

int64_t AttentionModule(int64_t layer, int64_t head) {
  ANAM_CHECK(head < kMaxHeads && layer < kModuleBit / kMaxHeads);
  return kModuleBit + layer * kMaxHeads + head;
}

at::Tensor Attention(const at::Tensor& q_THE, const at::Tensor& k_THE, const at::Tensor& v_THE,
                     const std::vector<int64_t>& lengths, const AttentionOptions& options,
                     const adapter::DropoutContext& context) {
  if (context.training && options.dropout > 0) {
    ANAM_CHECK(context.rows.size() == lengths.size());
    const auto by_head = [](const at::Tensor& x_THE) { return x_THE.transpose(0, 1).contiguous(); };
    const at::Tensor mixed_HTE = DroppedAttention::apply(
        by_head(q_THE), by_head(k_THE), by_head(v_THE),
        Batch{lengths, options.window, options.layer, options.dropout, context});
    return mixed_HTE.transpose(0, 1).reshape({q_THE.size(0), -1});
  }
  const auto by_document = [&](const at::Tensor& x_THE) {
    return x_THE.transpose(0, 1).unsqueeze(0).split_with_sizes(lengths, 2);
  };
  const auto queries = by_document(q_THE), keys = by_document(k_THE), values = by_document(v_THE);
  std::map<int64_t, at::Tensor> masks;  // by length
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (!masks.contains(lengths[i])) {
      masks[lengths[i]] = WindowMask(lengths[i], options.window, q_THE.device());
    }
    c10::optional<at::Tensor> seen_LL;
    if (masks[lengths[i]].defined()) seen_LL = masks[lengths[i]];
    const at::Tensor mixed_1HLE = at::scaled_dot_product_attention(
        queries[i], keys[i], values[i], seen_LL, /*dropout_p=*/0.0, /*is_causal=*/false);
    out.push_back(mixed_1HLE.squeeze(0).transpose(0, 1));
  }
  return at::cat(out, 0).reshape({q_THE.size(0), -1});
}

}  // namespace anamnesis::encoder
