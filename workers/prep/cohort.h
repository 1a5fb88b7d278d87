// SPDX-License-Identifier: Apache-2.0
// The raw data of a job in the seed layout, with its tables read and its tokens turned into
// phrases: subjects come out file by file, checked and converted. One path for prepare, render and
// validate. Immutable after Load; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "workers/prep/rules.h"
#include "workers/prep/seed_subjects.h"
#include "workers/prep/tables.h"
#include "workers/shard/manifest.h"
#include "workers/shard/reader.h"

namespace anamnesis::prep {

// One pickle of a split.
struct InputFile {
  std::string split{};
  std::string name{};  // train/0.pkl
  std::string path{};
  uint64_t number = 0;  // within its split
};

// Refuses, by key and value, what prep does not build yet (profile fused, time modes other than
// none, …).
Status CheckBuilt(const config::DataSection& data);

// Those of train, tuning and held_out whose folders are there. kInvalidArgument where there is
// none.
StatusOr<std::vector<std::string>> PresentSplits(const std::string& data_dir);

// The .pkl files of one split's folder, by byte value of their names. Touches no other split's
// folder.
StatusOr<std::vector<InputFile>> ListSplit(const std::string& data_dir, const std::string& split);

// Deviations that validate --lenient passes over and counts, by subject.
struct Leniency {
  uint64_t num_unsorted = 0;    // times that run backwards
  uint64_t num_unlabelled = 0;  // no row of labels: taken for a control
};

class Cohort {
 public:
  // Reads vocabulary, labels (none configured: everybody is a control) and lookups. The errors of
  // each carry its file.
  // `unlabelled`: a subject that labels has no row of is read, as a control; without it, refused.
  static StatusOr<std::unique_ptr<Cohort>> Load(const config::DataSection& data,
                                                bool unlabelled = false);

  const config::DataSection& data() const { return data_; }
  bool unlabelled() const { return unlabelled_; }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  const Labels& labels() const { return labels_; }
  const Lookups& lookups() const { return lookups_; }
  // The phrase table: distinct phrases in the order of the vocabulary.
  const std::vector<shard::Phrase>& phrases() const { return phrases_; }
  // By vocabulary position: the phrase, and what the rules said.
  const std::vector<Rendering>& renderings() const { return renderings_; }
  const std::vector<shard::InputRecord>& tables() const {
    return tables_;
  }  // provenance of the tables

  // Takes one subject with its index in the file and the vocabulary position of each event.
  using Sink = std::function<Status(uint64_t index, shard::Subject& subject,
                                    const std::vector<uint32_t>& positions)>;
  // Called with each refused subject; reading goes on when it returns OK.
  using OnBadSubject = std::function<Status(const Status&)>;

  // Reads a file's subjects. Errors carry the file's name and the subject's index. Without
  // `leniency` every deviation is an error; without `on_bad_subject` the first ends the reading.
  // Fills `record` (role, name, bytes, sha256) when not nullptr.
  Status ReadSubjects(const InputFile& file, const Sink& sink, shard::InputRecord* record,
                      Leniency* leniency = nullptr,
                      const OnBadSubject* on_bad_subject = nullptr) const;

 private:
  Cohort() = default;
  StatusOr<std::string> ReadTable(const std::string& role, const std::string& path);
  Status ReadLookup(const std::string& role, const std::string& path, Lookup* lookup);
  void MakePhrases(UnknownTokens policy);
  Status Convert(const RawSubject& raw, Leniency* leniency, shard::Subject* subject,
                 std::vector<uint32_t>* positions) const;

  config::DataSection data_;
  bool unlabelled_ = false;
  UnknownTokens unknown_tokens_ = UnknownTokens::kKeepCode;
  Vocabulary vocabulary_;
  Labels labels_;
  Lookups lookups_;
  std::vector<shard::InputRecord> tables_;
  std::vector<shard::Phrase> phrases_;
  std::vector<Rendering> renderings_;  // by vocabulary position
  std::vector<uint32_t> phrase_of_;    // by vocabulary position
};

}  // namespace anamnesis::prep
