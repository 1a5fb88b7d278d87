// SPDX-License-Identifier: Apache-2.0
#include "common/config/nearest.h"

#include <algorithm>

#include "common/config/schema.h"

namespace anamnesis::config {
namespace {

constexpr size_t kMaxWordBytes = 128;
constexpr size_t kMinContainedBytes = 4;

std::string_view ParentOf(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

std::string_view LeafOf(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? path : path.substr(dot + 1);
}

// The shortest candidate that holds the word: lora_alpha for alpha.
std::string ShortestWith(std::string_view word, const std::vector<std::string>& candidates) {
  std::string shortest;
  if (word.size() < kMinContainedBytes) return shortest;
  for (const std::string& candidate : candidates) {
    if (candidate.find(word) == std::string::npos) continue;
    if (shortest.empty() || candidate.size() < shortest.size()) shortest = candidate;
  }
  return shortest;
}

}  // namespace

int EditDistance(std::string_view a, std::string_view b) {
  a = a.substr(0, kMaxWordBytes);
  b = b.substr(0, kMaxWordBytes);
  std::vector<int> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

std::string Nearest(std::string_view word, const std::vector<std::string>& candidates) {
  const int length = static_cast<int>(std::min(word.size(), kMaxWordBytes));
  const int allowed = std::max(length / 3, length >= 4 ? 2 : 1);
  std::string best;
  int best_distance = allowed + 1;
  for (const std::string& candidate : candidates) {
    const int distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string NearestKey(std::string_view path) {
  const std::string_view parent = ParentOf(path);
  const std::string_view leaf = LeafOf(path);
  std::vector<std::string> siblings, everything;
  std::string elsewhere;
  for (const SectionRow& row : Sections()) {
    if (ParentOf(row.path) == parent) siblings.emplace_back(LeafOf(row.path));
    everything.emplace_back(row.path);
  }
  for (const KeyRow& row : Schema()) {
    if (ParentOf(row.path) == parent) siblings.emplace_back(LeafOf(row.path));
    if (elsewhere.empty() && LeafOf(row.path) == leaf) elsewhere = row.path;
    everything.emplace_back(row.path);
  }
  if (!elsewhere.empty()) return elsewhere;
  std::string sibling = Nearest(leaf, siblings);
  if (sibling.empty()) sibling = ShortestWith(leaf, siblings);
  if (!sibling.empty()) return parent.empty() ? sibling : std::string(parent) + "." + sibling;
  return Nearest(path, everything);
}

}  // namespace anamnesis::config
