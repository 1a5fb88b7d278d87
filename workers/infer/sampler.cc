// SPDX-License-Identifier: Apache-2.0
#include "workers/infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/check.h"

namespace anamnesis::infer {
namespace {

constexpr uint64_t kSamplingStream = 0x73616d706c65;  // "sample"

// softmax(scores / temperature), in fp64.
std::vector<double> Probabilities(std::span<const float> scores, double temperature) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> p;
  p.reserve(scores.size());
  for (const float score : scores) p.push_back(std::exp((score - largest) / temperature));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= sum;
  return p;
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options)
    : options_(options), random_(options.seed, kSamplingStream) {}

int64_t Sampler::Choose(std::span<const float> scores) {
  ANAM_CHECK(!scores.empty());
  if (options_.temperature == 0) {
    return std::max_element(scores.begin(), scores.end()) - scores.begin();
  }
  const std::vector<double> p = Probabilities(scores, options_.temperature);
  std::vector<int64_t> ids(p.size());
  std::iota(ids.begin(), ids.end(), 0);
  double kept = 1;
  if (options_.top_p < 1) {
    std::stable_sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) { return p[a] > p[b]; });
    size_t count = 0;
    for (kept = 0; count < ids.size() && kept < options_.top_p; ++count) kept += p[ids[count]];
    ids.resize(count);
  }
  double left = random_.Uniform() * kept;
  int64_t chosen = ids.front();
  for (const int64_t id : ids) {
    if (p[id] == 0) continue;  // an id without mass is never drawn
    chosen = id;               // the last one, should rounding leave something
    left -= p[id];
    if (left < 0) break;
  }
  return chosen;
}

void PenaliseRepetition(std::span<const int64_t> ids, double penalty, std::span<float> scores) {
  std::vector<int64_t> seen(ids.begin(), ids.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  const auto factor = static_cast<float>(penalty);
  for (const int64_t id : seen) {
    if (id < 0 || static_cast<size_t>(id) >= scores.size()) continue;
    float& score = scores[static_cast<size_t>(id)];
    score = score < 0 ? score * factor : score / factor;
  }
}

}  // namespace anamnesis::infer
