// SPDX-License-Identifier: Apache-2.0
// The shared data sets whole: counts equal those of an independent script
// (tests/support/count_seed.py). Prints numbers only.
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "gtest/gtest.h"
#include "tests/unit/workers/prep/made_cohort.h"
#include "workers/prep/prepare.h"
#include "workers/prep/validate.h"
#include "workers/stream/narrative.h"

namespace anamnesis::prep {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string SharedDirectory() {
  const std::string given = Environment("ANAMNESIS_SHARED_DIR");
  return given.empty() ? Environment("ANAMNESIS_SOURCE_DIR") + "/../shared" : given;
}

std::string OutputOf(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  std::string output;
  char buffer[4096];
  while (const size_t got = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, got);
  ::pclose(pipe);
  return output;
}

class SharedSet : public ::testing::TestWithParam<const char*> {};

TEST_P(SharedSet, HasAsManySubjectsEventsAndCutEventsAsAnIndependentCount) {
  const std::string directory = SharedDirectory() + "/data/" + GetParam();
  if (!std::filesystem::exists(directory)) GTEST_SKIP() << "shared data absent";
  const MadeCohort scratch;  // for its temporary directory
  const StatusOr<config::DataSection> data = SeedLayoutOf(directory);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto summary = Prepare(*data, {.out = scratch.Path("out"), .jobs = 2});
  ASSERT_TRUE(summary.ok()) << summary.status();
  const auto set = shard::ShardSet::Open(scratch.Path("out"));
  ASSERT_TRUE(set.ok()) << set.status();
  for (const int months : {0, 1, 12}) {
    stream::StreamSpec spec;
    spec.cutoff_months = months;
    const auto rule = stream::NarrativeRule::FromSpec(spec);
    ASSERT_TRUE(rule.ok());
    std::ostringstream counted;
    for (const shard::SplitSummary& split : (*set)->splits()) {
      uint64_t events = 0, cut_events = 0;
      shard::Subject subject;
      stream::Narrative narrative;
      for (uint64_t i = 0; i < split.num_subjects; ++i) {
        ASSERT_TRUE((*set)->Read(split.name, i, &subject).ok());
        ASSERT_TRUE(rule->Apply(subject, (*set)->phrases(), split.name, i, &narrative).ok());
        events += narrative.num_events;
        cut_events += narrative.num_cut_events;
      }
      counted << split.name << " " << split.num_subjects << " " << events << " " << cut_events
              << "\n";
    }
    std::printf("%s, %d months: %s", GetParam(), months, counted.str().c_str());
    EXPECT_EQ(counted.str(),
              OutputOf(Cat("python3 ", Environment("ANAMNESIS_SOURCE_DIR"),
                           "/tests/support/count_seed.py ", directory, " ", months)));
  }
  uint64_t events = 0;
  for (const shard::SplitRecord& split : summary->manifest.splits) events += split.events;
  std::printf("%s: %.2f bytes an event\n", GetParam(),
              static_cast<double>(summary->bytes) / static_cast<double>(events));
  EXPECT_LE(summary->bytes, 4 * events);
}

INSTANTIATE_TEST_SUITE_P(SeedLayout, SharedSet,
                         ::testing::Values("mimic-demo-seed", "synthea-seed"));

}  // namespace
}  // namespace anamnesis::prep
