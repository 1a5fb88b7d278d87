// SPDX-License-Identifier: Apache-2.0
// The formulas follow HF's modeling_rope_utils op by op, in fp32 for fp32 and bf16 models, so that
// angles agree bit for bit.
#include "workers/model/rope.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "workers/model/fixed_blocks.h"
#include "workers/model/norms.h"

namespace anamnesis::model {
namespace {

// base^(2i/R), i = 0 … R/2 − 1.
at::Tensor Wavelengths(double base, int64_t rotary_dim, const at::TensorOptions& options) {
  const at::Tensor exponents =
      at::arange(0, rotary_dim, 2, options) / static_cast<double>(rotary_dim);
  return at::pow(at::Scalar(base), exponents);
}

// Long waves are divided by the factor, short ones kept, those between blended.
at::Tensor Llama3(const RopeConfig& rope, const at::Tensor& inv_freq) {
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

// The dimension whose wave turns `rotations` times over the original length (yarn, eq. 17 ff.).
double CorrectionDim(const RopeConfig& rope, double rotations, int64_t rotary_dim) {
  const double length = static_cast<double>(rope.original_max_position_embeddings);
  return static_cast<double>(rotary_dim) * std::log(length / (rotations * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(rope.theta));
}

// Yarn's ramp between interpolated and kept frequencies.
at::Tensor Yarn(const RopeConfig& rope, int64_t rotary_dim, const at::Tensor& waves) {
  double low = CorrectionDim(rope, rope.beta_fast, rotary_dim);
  double high = CorrectionDim(rope, rope.beta_slow, rotary_dim);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rotary_dim - 1));
  if (low == high) high += 0.001;
  const at::Tensor steps = at::arange(rotary_dim / 2, waves.options());
  const at::Tensor kept = 1 - ((steps - low) / (high - low)).clamp(0, 1);
  return 1.0 / (rope.factor * waves) * (1 - kept) + 1.0 / waves * kept;
}

bool DependsOnLength(const RopeConfig& rope) {
  return rope.type == "dynamic" || rope.type == "longrope";
}

// Last position + 1 of each segment.
std::vector<int64_t> Reached(const at::Tensor& positions_T,
                             const std::vector<int64_t>& segment_lengths) {
  std::vector<int64_t> ends;
  int64_t end = 0;
  for (const int64_t length : segment_lengths) ends.push_back((end += length) - 1);
  const at::Tensor index = at::tensor(ends, at::TensorOptions().dtype(at::kLong));
  const at::Tensor last = positions_T.cpu().index_select(0, index) + 1;
  return {last.const_data_ptr<int64_t>(), last.const_data_ptr<int64_t>() + last.numel()};
}

}  // namespace

Rope::Rope(const RopeConfig& config, int64_t head_dim, int64_t max_position_embeddings,
           at::ScalarType dtype, at::Device device)
    : config_(config),
      rotary_dim_(RotaryDim(config, head_dim)),
      max_position_embeddings_(max_position_embeddings),
      dtype_(dtype),
      device_(device) {
  if (!DependsOnLength(config)) fixed_ = Frequencies(0);
}

int64_t Rope::LengthClass(int64_t length) const {
  if (config_.type == "longrope") return length > config_.original_max_position_embeddings ? 1 : 0;
  return std::max(length, max_position_embeddings_);
}

at::Tensor Rope::Frequencies(int64_t length) const {
  const auto options = at::TensorOptions().dtype(WideType(dtype_)).device(device_);
  double base = config_.theta;
  if (config_.type == "dynamic") {
    const double stretch = config_.factor * static_cast<double>(LengthClass(length)) /
                               static_cast<double>(max_position_embeddings_) -
                           (config_.factor - 1);
    const double dim = static_cast<double>(rotary_dim_);
    base *= std::pow(stretch, dim / (dim - 2));
  }
  const at::Tensor waves = Wavelengths(base, rotary_dim_, options);
  if (config_.type == "yarn") return Yarn(config_, rotary_dim_, waves);
  if (config_.type == "longrope") {
    const auto& factors = LengthClass(length) == 1 ? config_.long_factor : config_.short_factor;
    const at::Tensor scale = at::tensor(factors, at::TensorOptions().dtype(at::kDouble));
    return 1.0 / (scale.to(options) * waves);
  }
  const at::Tensor inv_freq = 1.0 / waves;
  if (config_.type == "linear") return inv_freq / config_.factor;
  if (config_.type == "llama3") return Llama3(config_, inv_freq);
  return inv_freq;
}

RopeAngles Rope::Angles(const at::Tensor& positions_T,
                        const std::vector<int64_t>& segment_lengths) const {
  at::Tensor inv_freq = fixed_.defined() ? fixed_.unsqueeze(0) : at::Tensor();
  if (!inv_freq.defined()) {
    const std::vector<int64_t> reached = Reached(positions_T, segment_lengths);
    std::map<int64_t, at::Tensor> by_class;
    std::vector<at::Tensor> rows;
    for (size_t i = 0; i < reached.size(); ++i) {
      at::Tensor& frequencies = by_class[LengthClass(reached[i])];
      if (!frequencies.defined()) frequencies = Frequencies(reached[i]);
      rows.push_back(frequencies.unsqueeze(0).expand({segment_lengths[i], -1}));
    }
    inv_freq = by_class.size() == 1 ? rows.front().narrow(0, 0, 1) : at::cat(rows, 0);
  }
  const at::Tensor angles = positions_T.to(inv_freq.scalar_type()).unsqueeze(1) * inv_freq;
  const at::Tensor angles_TR = at::cat({angles, angles}, -1);
  const auto finished = [&](const auto& function) {
    const at::Tensor values = InFixedBlocks(function, angles_TR);
    return (config_.attention_factor == 1.0 ? values : values * config_.attention_factor)
        .to(dtype_);
  };
  return {finished([](const auto& x) { return at::cos(x); }),
          finished([](const auto& x) { return at::sin(x); })};
}

at::Tensor Rotate(const at::Tensor& x_THE, const RopeAngles& angles) {
  const int64_t rotated = angles.cos_TR.size(1), width = x_THE.size(2);
  const at::Tensor x_THR = x_THE.narrow(2, 0, rotated);
  const auto halves = x_THR.chunk(2, -1);
  const at::Tensor turned_THR = at::cat({-halves[1], halves[0]}, -1);
  const at::Tensor out_THR =
      x_THR * angles.cos_TR.unsqueeze(1) + turned_THR * angles.sin_TR.unsqueeze(1);
  if (rotated == width) return out_THR;
  return at::cat({out_THR, x_THE.narrow(2, rotated, width - rotated)}, -1);
}

}  // namespace anamnesis::model
