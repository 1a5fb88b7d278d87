// SPDX-License-Identifier: Apache-2.0
#include "workers/merge/parity.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/philox.h"

namespace anamnesis::merge {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kLengths[] = {64, 33, 7};

double Tolerance(const std::string& dtype) {
  if (dtype == "bfloat16") return 0.1;
  return dtype == "float16" ? 0.02 : 1e-4;
}

}  // namespace

ProbeBatch::ProbeBatch(const model::ModelConfig& config) {
  PhiloxStream random(kSeed, 0);
  for (const int64_t length : kLengths) {
    const int64_t fitting = std::min(length, config.max_position_embeddings);
    lengths_.push_back(static_cast<int32_t>(fitting));
    for (int64_t i = 0; i < fitting; ++i) {
      ids_.push_back(static_cast<int32_t>(random.Below(static_cast<uint32_t>(config.vocab_size))));
    }
  }
  batch_ = model::PackBatch({{model::RowView{ids_, lengths_}}});
}

at::ScalarType ComputeDtype(const model::ModelConfig& config) {
  return config.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
}

Parity Compare(const at::Tensor& before_TV, const at::Tensor& after_TV,
               const model::ModelConfig& config) {
  Parity parity;
  parity.compute_dtype = config.dtype == "bfloat16" ? "bfloat16" : "float32";
  parity.tolerance = Tolerance(config.dtype);
  parity.num_tokens = before_TV.size(0);
  const at::Tensor before = before_TV.to(at::kDouble), after = after_TV.to(at::kDouble);
  parity.max_logit = before.abs().max().item<double>();  // NaN when one is
  parity.max_difference = (before - after).abs().max().item<double>();
  return parity;
}

Status CheckParity(const Parity& parity) {
  if (!std::isfinite(parity.max_logit) || !std::isfinite(parity.max_difference)) {
    return InvalidArgument(
        "the logits of base and adapter, or those of the merged model, are not finite: one of "
        "their weights is a NaN or an infinity, or they are beyond ",
        parity.compute_dtype);
  }
  if (parity.relative() <= parity.tolerance) return absl::OkStatus();
  return InvalidArgument("the merged model's logits differ by ", parity.max_difference, " from ",
                         "those of base and adapter, ", parity.relative(),
                         " of the largest logit; at most ", parity.tolerance,
                         " is expected: the adapter's update is too large for the base's dtype, or "
                         "it belongs to another base");
}

}  // namespace anamnesis::merge
