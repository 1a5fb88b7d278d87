// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/block.h"

#include <array>
#include <utility>

#include "workers/shard/frame.h"

namespace anamnesis::shard {
namespace {

constexpr uint8_t kCaseFlag = 1, kDateFlag = 2, kBadDateFlag = 4;
constexpr std::array<int64_t, 6> kUnits_us = {86'400'000'000, 3'600'000'000, 60'000'000,
                                              1'000'000,      1'000,         1};

int64_t CommonUnit(const std::vector<Subject>& subjects) {
  size_t unit = 0;
  for (const Subject& subject : subjects) {
    for (const Event& event : subject.events) {
      if (event.time_us == kStatic) continue;
      while (event.time_us % kUnits_us[unit] != 0) ++unit;  // ends at 1, which divides all
    }
  }
  return kUnits_us[unit];
}

// Differences wrap around in unsigned arithmetic, so that any pair of times survives the round
// trip.
int64_t WrappingDifference(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

}  // namespace

Status BlockBuilder::Add(Subject subject) {
  if (!subject.site.empty() && sites_.count(subject.site) == 0) {
    return Internal("a site that is not in the table of sites");
  }
  num_events_ += subject.events.size();
  subjects_.push_back(std::move(subject));
  return absl::OkStatus();
}

std::string BlockBuilder::Finish() {
  const int64_t unit_us = CommonUnit(subjects_);
  std::string directory, phrases, times;
  AppendVarint(subjects_.size(), &directory);
  AppendVarint(static_cast<uint64_t>(unit_us), &directory);
  for (const Subject& subject : subjects_) {
    const size_t phrases_before = phrases.size(), times_before = times.size();
    int64_t previous = 0;  // in units
    for (const Event& event : subject.events) {
      AppendVarint(event.phrase, &phrases);
      if (event.time_us == kStatic) {
        times.push_back('\0');
        continue;
      }
      const int64_t now = event.time_us / unit_us;
      AppendVarint(1 + ZigZag(WrappingDifference(now, previous)), &times);
      previous = now;
    }
    AppendVarint(ZigZag(subject.subject_id), &directory);
    const bool has_date = subject.cancer_time_us.has_value();
    directory.push_back(static_cast<char>((subject.is_case ? kCaseFlag : 0) |
                                          (has_date ? kDateFlag : 0) |
                                          (subject.bad_cancer_date ? kBadDateFlag : 0)));
    AppendVarint(subject.site.empty() ? 0 : sites_.at(subject.site) + 1, &directory);
    if (has_date) AppendVarint(ZigZag(*subject.cancer_time_us), &directory);
    AppendVarint(subject.events.size(), &directory);
    AppendVarint(phrases.size() - phrases_before, &directory);
    AppendVarint(times.size() - times_before, &directory);
  }
  subjects_.clear();
  num_events_ = 0;
  return directory + phrases + times;
}

StatusOr<Block> Block::Parse(std::string payload, uint64_t num_phrases,
                             const std::vector<std::string>* sites) {
  Block block;
  block.payload_ = std::move(payload);
  block.num_phrases_ = num_phrases;
  block.sites_ = sites;
  ByteCursor cursor(block.payload_);
  uint64_t num_subjects = 0;
  if (!cursor.Varint(&num_subjects) || !cursor.Varint(&block.unit_us_) || block.unit_us_ == 0 ||
      block.unit_us_ > static_cast<uint64_t>(kUnits_us[0]) || num_subjects > cursor.size()) {
    return DataLoss("block header does not hold together");
  }
  block.entries_.resize(num_subjects);
  uint64_t phrases_bytes = 0, times_bytes = 0;
  for (Entry& entry : block.entries_) {
    uint64_t id = 0, date = 0;
    bool ok = cursor.Varint(&id) && cursor.Byte(&entry.flags) && cursor.Varint(&entry.site);
    ok = ok && entry.site <= sites->size();
    if (ok && (entry.flags & kDateFlag) != 0) ok = cursor.Varint(&date);
    ok = ok && cursor.Varint(&entry.num_events) && cursor.Varint(&entry.phrases_bytes) &&
         cursor.Varint(&entry.times_bytes);
    // Every event takes at least a byte of each column.
    ok = ok && entry.phrases_bytes <= block.payload_.size() &&
         entry.times_bytes <= block.payload_.size() && entry.num_events <= entry.phrases_bytes &&
         entry.num_events <= entry.times_bytes;
    if (!ok) return DataLoss("block directory does not hold together");
    entry.subject_id = UnZigZag(id);
    entry.cancer_time_us = UnZigZag(date);
    entry.phrases_begin = phrases_bytes;
    entry.times_begin = times_bytes;
    phrases_bytes += entry.phrases_bytes;
    times_bytes += entry.times_bytes;
    if (phrases_bytes + times_bytes > block.payload_.size()) {
      return DataLoss("block columns are longer than the block");
    }
  }
  if (phrases_bytes + times_bytes != cursor.size()) {
    return DataLoss("block columns have ", cursor.size(), " bytes, expected ",
                    phrases_bytes + times_bytes);
  }
  const uint64_t columns_begin = block.payload_.size() - cursor.size();
  for (Entry& entry : block.entries_) {
    entry.phrases_begin += columns_begin;
    entry.times_begin += columns_begin + phrases_bytes;
  }
  return block;
}

Status Block::Read(uint64_t index, Subject* subject) const {
  const Entry& entry = entries_[index];
  subject->subject_id = entry.subject_id;
  subject->is_case = (entry.flags & kCaseFlag) != 0;
  subject->bad_cancer_date = (entry.flags & kBadDateFlag) != 0;
  subject->site = entry.site == 0 ? "" : (*sites_)[entry.site - 1];
  subject->cancer_time_us.reset();
  if ((entry.flags & kDateFlag) != 0) subject->cancer_time_us = entry.cancer_time_us;
  const std::string_view payload = payload_;
  ByteCursor phrases(payload.substr(entry.phrases_begin, entry.phrases_bytes));
  ByteCursor times(payload.substr(entry.times_begin, entry.times_bytes));
  subject->events.resize(entry.num_events);
  uint64_t previous = 0;  // in units, wrapping
  for (Event& event : subject->events) {
    uint64_t phrase = 0, code = 0;
    if (!phrases.Varint(&phrase) || !times.Varint(&code) || phrase >= num_phrases_) {
      return DataLoss("events of subject ", index, " of the block do not hold together");
    }
    event.phrase = static_cast<uint32_t>(phrase);
    event.time_us = kStatic;
    if (code == 0) continue;
    previous += static_cast<uint64_t>(UnZigZag(code - 1));
    event.time_us = static_cast<int64_t>(previous * unit_us_);
  }
  if (!phrases.empty() || !times.empty()) {
    return DataLoss("events of subject ", index, " of the block do not fill their columns");
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::shard
