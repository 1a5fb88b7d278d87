// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "workers/shard/manifest.h"
#include "workers/shard/phrases.h"

namespace {

std::string Phrases() {
  return *anamnesis::shard::EncodePhrases(
      {{"", anamnesis::shard::PhraseKind::kSilent}, {"text", {}}});
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  anamnesis::shard::Manifest manifest;
  manifest.phrases = {"phrases", 3, "aa"};
  manifest.sites = {"lung"};
  manifest.inputs = {{"vocab", "vocab.csv", 1, "bb"}};
  auto& split = manifest.splits.emplace_back();
  split.name = "train";
  split.subject_hashes = {"train.subject-hashes", 0, "cc"};
  return {anamnesis::shard::ManifestText(manifest), Phrases()};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto manifest = anamnesis::shard::ParseManifest(bytes);
  // What is accepted is canonical: it comes out as it went in.
  if (manifest.ok() && anamnesis::shard::ManifestText(*manifest) != bytes) __builtin_trap();
  const auto phrases = anamnesis::shard::DecodePhrases(bytes);
  if (phrases.ok() && !anamnesis::shard::EncodePhrases(*phrases).ok()) __builtin_trap();
  return 0;
}
