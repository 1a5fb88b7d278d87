// SPDX-License-Identifier: Apache-2.0
// A small shard set in a temporary directory, for tests.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/philox.h"
#include "gtest/gtest.h"
#include "tests/support/temporary_folder.h"
#include "workers/shard/set_writer.h"

namespace anamnesis::shard {

inline std::vector<Phrase> MadePhrases() {
  std::vector<Phrase> phrases = {{"", PhraseKind::kSilent}, {"4d-7d", PhraseKind::kTimeInterval}};
  for (int i = 0; i < 300; ++i) phrases.push_back({Cat("phrase ", i, " é"), PhraseKind::kText});
  return phrases;
}

inline Subject MadeSubject(PhiloxStream& random, int64_t id, uint64_t max_events) {
  Subject subject{.subject_id = id};
  subject.is_case = random.Below(3) == 0;
  if (subject.is_case) {
    subject.site = random.Below(2) == 0 ? "lung" : "pancreas";
    if (random.Below(4) != 0) subject.cancer_time_us = static_cast<int64_t>(random.Next64() >> 12);
    subject.bad_cancer_date = !subject.cancer_time_us.has_value() && random.Below(2) == 0;
  }
  int64_t time_us = -static_cast<int64_t>(random.Below(1u << 30)) * 1'000'000;
  const int64_t unit_us = random.Below(2) == 0 ? 1 : 86'400'000'000;
  const uint64_t num_events = random.Below(max_events);
  for (uint64_t i = 0; i < num_events; ++i) {
    if (random.Below(3) == 0) time_us += static_cast<int64_t>(random.Below(1000)) * unit_us;
    const bool is_static = random.Below(10) == 0;
    subject.events.push_back(
        {static_cast<uint32_t>(random.Below(302)), is_static ? kStatic : time_us});
  }
  return subject;
}

// Writes the subjects in two shards; returns the status of every step's first failure.
inline Status WriteMadeSet(const std::string& directory, const std::vector<Subject>& subjects) {
  Manifest manifest;
  manifest.code_version = "test";
  manifest.digest = "d";
  manifest.sites = {"lung", "pancreas"};
  ANAM_ASSIGN_OR_RETURN(const auto writer, SetWriter::Create(directory, manifest.sites));
  ANAM_RETURN_IF_ERROR(writer->WritePhrases(MadePhrases(), &manifest));
  SplitRecord split{.name = "train"};
  std::vector<int64_t> ids;
  for (size_t part = 0; part < 2; ++part) {
    ANAM_ASSIGN_OR_RETURN(const auto shard, writer->NewShard("train", part));
    for (size_t i = part * subjects.size() / 2; i < (part + 1) * subjects.size() / 2; ++i) {
      ids.push_back(subjects[i].subject_id);
      ANAM_RETURN_IF_ERROR(shard->Add(subjects[i]));
    }
    ANAM_ASSIGN_OR_RETURN(ShardRecord record, shard->Finish());
    split.subjects += record.subjects;
    split.events += record.events;
    split.shards.push_back(record);
  }
  ANAM_ASSIGN_OR_RETURN(split.subject_hashes, writer->WriteSubjectHashes("train", ids));
  manifest.splits.push_back(split);
  return writer->Commit(manifest);
}

inline std::vector<Subject> MadeSubjects(uint64_t seed, int count, uint64_t max_events) {
  PhiloxStream random(seed, 1);
  std::vector<Subject> subjects;
  for (int i = 0; i < count; ++i) {
    subjects.push_back(
        MadeSubject(random, (i % 2 == 0 ? 1 : -1) * int64_t{1} * i * 1'000'003, max_events));
  }
  return subjects;
}

inline void ExpectSame(const Subject& a, const Subject& b) {
  EXPECT_EQ(a.subject_id, b.subject_id);
  EXPECT_EQ(a.is_case, b.is_case);
  EXPECT_EQ(a.site, b.site);
  EXPECT_EQ(a.cancer_time_us, b.cancer_time_us);
  EXPECT_EQ(a.bad_cancer_date, b.bad_cancer_date);
  ASSERT_EQ(a.events.size(), b.events.size());
  for (size_t i = 0; i < a.events.size(); ++i) {
    ASSERT_EQ(a.events[i].phrase, b.events[i].phrase) << "event " << i;
    ASSERT_EQ(a.events[i].time_us, b.events[i].time_us) << "event " << i;
  }
}

}  // namespace anamnesis::shard
