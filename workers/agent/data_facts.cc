// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/data_facts.h"

#include <algorithm>

#include "common/io/file.h"
#include "workers/shard/manifest.h"

namespace anamnesis::agent {
namespace {

double ShareOf(uint64_t part, uint64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

StatusOr<v1::DataFacts> MakeDataFacts(const DataStage& data) {
  const std::string path = Cat(data.plan.shards_directory, "/", shard::kManifestFile);
  ANAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const StatusOr<shard::Manifest> manifest = shard::ParseManifest(text);
  if (!manifest.ok()) return AddContext(manifest.status(), path);
  v1::DataFacts facts;
  for (const shard::LookupRecord& lookup : manifest->lookups) {
    if (lookup.events == 0) continue;
    const double share = ShareOf(lookup.translated, lookup.events);
    if (lookup.role == "medical_lookup") facts.set_medical_coverage(share);
    if (lookup.role == "lab_lookup") facts.set_lab_coverage(share);
  }
  facts.set_train_documents(data.train.num_documents);
  // Packed rows hold every token: only documents of a row each are cut off.
  const int64_t all = data.train.num_tokens + data.train.num_dropped_ids;
  if (data.stream.rows == "documents" && all > 0) {
    facts.set_truncated_token_share(
        ShareOf(static_cast<uint64_t>(data.train.num_dropped_ids), static_cast<uint64_t>(all)));
  }
  const auto train = std::find_if(
      manifest->splits.begin(), manifest->splits.end(),
      [&](const shard::SplitRecord& split) { return split.name == data.plan.train_split; });
  // Of more classes the manifest does not know the shares.
  if (data.class_names.size() == 2 && train != manifest->splits.end() && train->subjects > 0) {
    const double cases = ShareOf(train->cases, train->subjects);
    facts.add_class_shares(1 - cases);
    facts.add_class_shares(cases);
  }
  return facts;
}

}  // namespace anamnesis::agent
