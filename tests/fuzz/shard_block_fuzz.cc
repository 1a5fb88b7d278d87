// SPDX-License-Identifier: Apache-2.0
// A block's payload behind its checksum (as if the checksum held), and a whole frame.
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "workers/shard/block.h"
#include "workers/shard/frame.h"

namespace {

const std::map<std::string, uint32_t> kSites = {{"lung", 0}};
const std::vector<std::string> kSiteNames = {"lung"};

}  // namespace

std::vector<std::string> FuzzSeeds() {
  using namespace anamnesis::shard;
  BlockBuilder builder(kSites);
  Subject subject{
      .subject_id = -5, .is_case = true, .site = "lung", .cancer_time_us = 86'400'000'000};
  for (uint32_t i = 0; i < 40; ++i)
    subject.events.push_back({i, i < 3 ? kStatic : i * int64_t{3'600'000'000}});
  if (!builder.Add(subject).ok() || !builder.Add({.subject_id = 7}).ok()) __builtin_trap();
  const std::string payload = builder.Finish();
  return {payload, *EncodeFrame(kBlockMagic, payload)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace anamnesis::shard;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  std::string payload;
  if (!DecodeFrame(kBlockMagic, bytes, &payload).ok()) payload = bytes;
  const auto block = Block::Parse(payload, 64, &kSiteNames);
  if (!block.ok()) return 0;
  Subject subject;
  for (uint64_t i = 0; i < block->num_subjects(); ++i) {
    if (!block->Read(i, &subject).ok()) continue;
    for (const Event& event : subject.events) {
      if (event.phrase >= 64) __builtin_trap();
    }
  }
  return 0;
}
