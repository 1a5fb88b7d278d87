// SPDX-License-Identifier: Apache-2.0
#include "workers/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace anamnesis::train {

bool DecaysWeight(const std::string& parameter_name) {
  const auto contains = [&](const char* text) {
    return parameter_name.find(text) != std::string::npos;
  };
  const bool is_bias = parameter_name.size() >= 5 && parameter_name.ends_with(".bias");
  return !is_bias && !contains("norm.") && !contains("layernorm") && !contains("LayerNorm");
}

AdamW::AdamW(const AdamWOptions& options, std::vector<ParameterSpan> layout)
    : options_(options), layout_(std::move(layout)) {
  int64_t size = 0;
  for (const ParameterSpan& span : layout_) {
    ANAM_CHECK(span.offset == size);
    size += span.size;
  }
  exp_avg_.assign(static_cast<size_t>(size), 0.0f);
  exp_avg_sq_.assign(static_cast<size_t>(size), 0.0f);
}

void AdamW::Step(double learning_rate, std::span<float> parameters,
                 std::span<const float> gradient) {
  ANAM_CHECK(parameters.size() == exp_avg_.size() && gradient.size() == exp_avg_.size());
  ++steps_;
  const auto t = static_cast<double>(steps_);
  const double bias_correction1 = 1.0 - std::pow(options_.beta1, t);
  const double bias_correction2 = 1.0 - std::pow(options_.beta2, t);
  const auto bias_correction2_sqrt = static_cast<float>(std::sqrt(bias_correction2));
  const auto minus_step_size = static_cast<float>(-(learning_rate / bias_correction1));
  const auto one_minus_beta1 = static_cast<float>(1.0 - options_.beta1);
  const auto beta2 = static_cast<float>(options_.beta2);
  const auto one_minus_beta2 = static_cast<float>(1.0 - options_.beta2);
  const auto epsilon = static_cast<float>(options_.epsilon);
  const auto keep = static_cast<float>(1.0 - learning_rate * options_.weight_decay);
  for (const ParameterSpan& span : layout_) {
    const bool decay = span.weight_decay && options_.weight_decay != 0;
    for (int64_t i = span.offset; i < span.offset + span.size; ++i) {
      const float g = gradient[i];
      float p = decay ? parameters[i] * keep : parameters[i];
      float m = exp_avg_[i];
      m = m + one_minus_beta1 * (g - m);  // lerp
      const float v = exp_avg_sq_[i] * beta2 + one_minus_beta2 * (g * g);
      const float denominator = std::sqrt(v) / bias_correction2_sqrt + epsilon;
      p = p + minus_step_size * (m / denominator);
      parameters[i] = p;
      exp_avg_[i] = m;
      exp_avg_sq_[i] = v;
    }
  }
}

double GradientNorm(std::span<const float> gradient) {
  constexpr size_t kChunk = 4096;
  double sum = 0;
  for (size_t begin = 0; begin < gradient.size(); begin += kChunk) {
    const size_t end = std::min(begin + kChunk, gradient.size());
    double chunk = 0;
    for (size_t i = begin; i < end; ++i) {
      chunk += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
    }
    sum += chunk;
  }
  return std::sqrt(sum);
}

void ClipGradient(double norm, double max_norm, std::span<float> gradient) {
  if (max_norm <= 0) return;
  const auto factor = static_cast<float>(std::min(1.0, max_norm / (norm + 1e-6)));
  if (factor == 1.0f) return;
  for (float& element : gradient) element *= factor;
}

}  // namespace anamnesis::train
