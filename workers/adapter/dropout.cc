// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/dropout.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace anamnesis::adapter {
namespace {

constexpr int kLanes = 64;         // Philox blocks made at once
constexpr int kBlockElements = 8;  // 16-bit words of one block
constexpr int kBatch = kLanes * kBlockElements;
constexpr uint32_t kStepUse = 0x64726f70;  // separates this use of the seed from others

// The words of blocks first … first + kLanes − 1 of one stream, one array per output word. The same
// arithmetic as Philox4x32 (a test compares them), laid out for vector units.
struct Words {
  alignas(64) uint32_t word[4][kLanes];
};

inline __attribute__((always_inline)) void MakeWords(PhiloxKey key, uint64_t first, uint32_t row,
                                                     uint32_t module, Words* out) {
  for (int j = 0; j < kLanes; ++j) {
    const uint64_t block = first + static_cast<uint64_t>(j);
    out->word[0][j] = static_cast<uint32_t>(block);
    out->word[1][j] = static_cast<uint32_t>(block >> 32);
    out->word[2][j] = row;
    out->word[3][j] = module;
  }
  for (int round = 0; round < 10; ++round) {
    for (int j = 0; j < kLanes; ++j) {
      const uint64_t p0 = uint64_t{0xD2511F53} * out->word[0][j];
      const uint64_t p1 = uint64_t{0xCD9E8D57} * out->word[2][j];
      out->word[0][j] = static_cast<uint32_t>(p1 >> 32) ^ out->word[1][j] ^ key.k0;
      out->word[2][j] = static_cast<uint32_t>(p0 >> 32) ^ out->word[3][j] ^ key.k1;
      out->word[1][j] = static_cast<uint32_t>(p1);
      out->word[3][j] = static_cast<uint32_t>(p0);
    }
    key.k0 += 0x9E3779B9;
    key.k1 += 0xBB67AE85;
  }
}

using MakeWordsFunction = void (*)(PhiloxKey, uint64_t, uint32_t, uint32_t, Words*);

void MakeWordsPlain(PhiloxKey key, uint64_t first, uint32_t row, uint32_t module, Words* out) {
  MakeWords(key, first, row, module, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void MakeWordsAvx2(PhiloxKey key, uint64_t first, uint32_t row,
                                                   uint32_t module, Words* out) {
  MakeWords(key, first, row, module, out);
}
__attribute__((target("avx512f"))) void MakeWordsAvx512(PhiloxKey key, uint64_t first, uint32_t row,
                                                        uint32_t module, Words* out) {
  MakeWords(key, first, row, module, out);
}
#endif

// Integer arithmetic: every variant makes the same words.
MakeWordsFunction BestMakeWords() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return &MakeWordsAvx512;
  if (__builtin_cpu_supports("avx2")) return &MakeWordsAvx2;
#endif
  return &MakeWordsPlain;
}

struct RowMask {
  PhiloxKey key;
  uint32_t row = 0;
  uint32_t module = 0;
  uint32_t threshold = 0;
};

// Elements [begin, end) of one row; begin is a multiple of kBatch.
template <typename T>
void DropRange(const RowMask& mask, const T* x, T* out, int64_t begin, int64_t end) {
  using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
  static const MakeWordsFunction make_words = BestMakeWords();
  const Wide scale = static_cast<Wide>(65536.0 / (65536.0 - mask.threshold));
  Words words;
  alignas(64) uint16_t half[kBatch];
  for (int64_t start = begin; start < end; start += kBatch) {
    make_words(mask.key, static_cast<uint64_t>(start / kBlockElements), mask.row, mask.module,
               &words);
    for (int j = 0; j < kLanes; ++j) {
      for (int w = 0; w < 4; ++w) {
        half[j * kBlockElements + 2 * w] = static_cast<uint16_t>(words.word[w][j]);
        half[j * kBlockElements + 2 * w + 1] = static_cast<uint16_t>(words.word[w][j] >> 16);
      }
    }
    const int64_t count = std::min<int64_t>(kBatch, end - start);
    for (int64_t i = 0; i < count; ++i) {
      const Wide factor = half[i] < mask.threshold ? Wide{0} : scale;
      out[start + i] = static_cast<T>(static_cast<Wide>(x[start + i]) * factor);
    }
  }
}

template <typename T>
void DropRows(const at::Tensor& x, at::Tensor* out, const DropoutContext& context, int64_t module,
              uint32_t threshold) {
  const T* in = x.const_data_ptr<T>();
  T* to = out->mutable_data_ptr<T>();
  RowMask mask{DropoutKey(context.seed, context.step), 0, static_cast<uint32_t>(module), threshold};
  for (const DropoutRow& row : context.rows) {
    mask.row = static_cast<uint32_t>(row.global_row);
    const int64_t size = row.num_tokens * x.size(1);
    const int64_t batches = (size + kBatch - 1) / kBatch;
    at::parallel_for(0, batches, /*grain_size=*/16, [&](int64_t first, int64_t last) {
      DropRange(mask, in, to, first * kBatch, std::min(size, last * kBatch));
    });
    in += size;
    to += size;
  }
}

}  // namespace

uint32_t DropoutThreshold(double p) {
  return std::min<uint32_t>(65535, static_cast<uint32_t>(std::lround(p * 65536.0)));
}

PhiloxKey DropoutKey(uint64_t seed, int64_t step) {
  const uint64_t bits = static_cast<uint64_t>(step);
  const auto words =
      Philox4x32({static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
                 {static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32), kStepUse, 0});
  return {words[0], words[1]};
}

at::Tensor ApplyDropout(const at::Tensor& x_TF, const DropoutContext& context, int64_t module,
                        double p) {
  int64_t tokens = 0;
  for (const DropoutRow& row : context.rows) tokens += row.num_tokens;
  ANAM_CHECK(tokens == x_TF.size(0));
  if (!x_TF.device().is_cpu()) {
    const at::Tensor ones = at::ones(x_TF.sizes(), at::TensorOptions().dtype(at::kFloat));
    const at::Tensor mask = ApplyDropout(ones, context, module, p).to(x_TF.device());
    return (x_TF * mask).to(x_TF.scalar_type());
  }
  const uint32_t threshold = DropoutThreshold(p);
  const at::Tensor x = x_TF.contiguous();
  at::Tensor out = at::empty_like(x);
  switch (x.scalar_type()) {
    case at::kFloat:
      DropRows<float>(x, &out, context, module, threshold);
      break;
    case at::kDouble:
      DropRows<double>(x, &out, context, module, threshold);
      break;
    case at::kHalf:
      DropRows<c10::Half>(x, &out, context, module, threshold);
      break;
    default:
      DropRows<c10::BFloat16>(x, &out, context, module, threshold);
      break;
  }
  return out;
}

}  // namespace anamnesis::adapter
