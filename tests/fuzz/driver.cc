// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: every seed, every prefix of short seeds, then N mutations
// with a fixed seed. usage: fuzz_X [N [SEED]]; without N it is ANAMNESIS_FUZZ_RUNS, or 20,000. On a
// failure the last line printed names the round to repeat.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "common/base/philox.h"
#include "tests/fuzz/fuzz.h"

namespace {

constexpr size_t kShortSeed = 4096;

void RunOne(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

// One to eight edits: flip, overwrite, remove, repeat a range, insert, or set an extreme length.
std::string Mutated(std::string input, anamnesis::PhiloxStream& random) {
  const uint64_t num_edits = 1 + random.Below(8);
  for (uint64_t edit = 0; edit < num_edits; ++edit) {
    const size_t at = random.Below(input.size() + 1);
    const size_t length = random.Below(1 + std::min<size_t>(16, input.size() - at));
    switch (random.Below(6)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << random.Below(8)));
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(random.Below(256));
        break;
      case 2:
        input.erase(at, length);
        break;
      case 3:
        input.insert(at, input.substr(at, length));
        break;
      case 4:
        input.insert(at, 1, static_cast<char>(random.Below(256)));
        break;
      default:
        for (size_t i = at; i < at + length; ++i) input[i] = random.Below(2) == 0 ? '\xff' : '\0';
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  const char* runs = argc > 1 ? argv[1] : std::getenv("ANAMNESIS_FUZZ_RUNS");
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // the last line must survive a crash
  const long rounds = runs != nullptr ? std::atol(runs) : 20'000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const std::vector<std::string> seeds = FuzzSeeds();
  for (const std::string& input : seeds) {
    RunOne(input);
    for (size_t size = 0; size < std::min(input.size(), kShortSeed); ++size)
      RunOne(input.substr(0, size));
  }
  for (long round = 0; round < rounds; ++round) {
    anamnesis::PhiloxStream random(seed, static_cast<uint64_t>(round));
    if (round % 1000 == 0)
      std::printf("seed %llu round %ld\n", static_cast<unsigned long long>(seed), round);
    RunOne(Mutated(seeds[random.Below(seeds.size())], random));
  }
  std::printf("%zu seeds, %ld mutations: no failure\n", seeds.size(), rounds);
  return 0;
}
