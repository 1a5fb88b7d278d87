// SPDX-License-Identifier: Apache-2.0
// The files that synth writes, and its command line.
#include "workers/prep/synth.h"

#include <cstdio>
#include <fstream>

#include "gmock/gmock.h"
#include "tests/unit/workers/prep/synth_folder.h"
#include "workers/prep/render.h"
#include "workers/prep/seed_subjects.h"
#include "workers/prep/synth_pickle.h"
#include "workers/prep/validate.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::prep {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

int RunWith(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "synth");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return RunSynth(static_cast<int>(arguments.size()), argv.data());
}

std::vector<std::string> Lines(const std::string& directory, int64_t cutoff_months,
                               const std::string& apply_to = "cases") {
  config::DataSection data = *SeedLayoutOf(directory);
  data.cutoff_months = cutoff_months;
  data.apply_to = apply_to;
  std::vector<std::string> lines;
  for (const char* split : {"train", "tuning", "held_out"}) {
    RenderOptions options;
    options.split = split;
    EXPECT_TRUE(
        RenderRaw(data, options, [&](const std::string& line) { lines.push_back(line); }).ok());
  }
  return lines;
}

TEST(Synth, GivesTheSameBytesForTheSameSeed) {
  SynthFolder folder;
  folder.Make("a", {.num_subjects = 50, .seed = 7});
  folder.Make("b", {.num_subjects = 50, .seed = 7});
  EXPECT_EQ(folder.Digests("a"), folder.Digests("b"));
  EXPECT_THAT(folder.Digests("a"), SizeIs(13));
}

TEST(Synth, GivesOtherBytesForAnotherSeed) {
  SynthFolder folder;
  folder.Make("a", {.num_subjects = 50, .seed = 7});
  folder.Make("b", {.num_subjects = 50, .seed = 8});
  const auto a = folder.Digests("a"), b = folder.Digests("b");
  for (const char* file : {"/train/0.pkl", "/tuning/0.pkl", "/held_out/0.pkl", "/labels.csv",
                           "/base/model.safetensors", "/truth.json"}) {
    EXPECT_NE(a.at(file), b.at(file)) << file;
  }
  EXPECT_EQ(a.at("/medical_lookup.csv"), b.at("/medical_lookup.csv"));
}

TEST(Synth, DrawsASubjectAlikeInEverySizeOfCohort) {
  SynthFolder folder;
  folder.Make("small", {.num_subjects = 20, .base = false});
  folder.Make("large", {.num_subjects = 40, .base = false});
  const std::vector<std::string> large = Lines(folder.Path("large"), 1);
  for (const std::string& line : Lines(folder.Path("small"), 1)) EXPECT_THAT(large, Contains(line));
}

TEST(Synth, WritesACohortThatValidatesInEveryStyle) {
  SynthFolder folder;
  for (const SynthStyle style : {SynthStyle::kReadme, SynthStyle::kPairs, SynthStyle::kValues}) {
    folder.Make(NameOf(style), {.num_subjects = 60, .style = style, .base = false});
    const auto data = SeedLayoutOf(folder.Path(NameOf(style)));
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ(ValidateSeedLayout(*data, /*lenient=*/false).Text().find("finding"),
              std::string::npos)
        << NameOf(style);
  }
}

TEST(Synth, WritesValuesAsTheStyleSays) {
  const struct {
    SynthStyle style;
    std::vector<std::string> tokens;
    std::string text;
  } rows[] = {
      {SynthStyle::kReadme, {"AGE_decile_5", "LAB//GLUCOSE_5"}, ", Glucose 5, "},
      {SynthStyle::kPairs, {"AGE_decile,", "Q5", "LAB//GLUCOSE,"}, ", Glucose, 5, "},
      {SynthStyle::kValues,
       {"AGE: 50-59", "LAB//GLUCOSE,", "5.5", "mmol/L"},
       ", Glucose, 5.5, mmol/L, "},
  };
  SynthFolder folder;
  for (const auto& row : rows) {
    const std::string name = NameOf(row.style);
    folder.Make(name, {.num_subjects = 60, .style = row.style, .base = false});
    const std::string vocabulary = *ReadFile(folder.Path(name) + "/vocab.csv");
    for (const std::string& token : row.tokens) EXPECT_THAT(vocabulary, HasSubstr(token));
    EXPECT_THAT(Lines(folder.Path(name), 1), Contains(HasSubstr(row.text))) << name;
  }
}

TEST(Synth, ShowsItsMarkersOnlyWhenTheCutLeaks) {
  SynthFolder folder;
  folder.Make("c", {.num_subjects = 200, .base = false});
  for (const auto& marker : folder.Truth("c")["signal"]["leak_phrases"]) {
    const auto has_marker = HasSubstr(marker.get<std::string>());
    EXPECT_THAT(Lines(folder.Path("c"), 1), Not(Contains(has_marker)));
    EXPECT_THAT(Lines(folder.Path("c"), 0), Contains(has_marker));
  }
}

TEST(Synth, GivesTheSameNarrativesWhenControlsAreCutAsWell) {
  SynthFolder folder;
  folder.Make("c", {.num_subjects = 200, .base = false});
  EXPECT_EQ(Lines(folder.Path("c"), 1, "all"), Lines(folder.Path("c"), 1, "cases"));
}

TEST(Synth, WritesABaseWhoseTokenizerIsExactByPhrase) {
  SynthFolder folder;
  folder.Make("c", {.num_subjects = 60});
  const auto tokenizer = text::Tokenizer::FromDirectory(folder.Path("c/base"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_TRUE((*tokenizer)->SeparatorIsExact(", "));
  EXPECT_THAT((*tokenizer)->prefix_ids(), ElementsAre(1));
  EXPECT_EQ(*(*tokenizer)->eos_id(), 2);
  EXPECT_EQ((*ReadJsonFile(folder.Path("c/base/config.json")))["vocab_size"],
            (*tokenizer)->vocab_size());
}

TEST(Synth, LeavesTheBaseOutWhenAsked) {
  SynthFolder folder;
  EXPECT_EQ(RunWith({"--out", folder.Path("c"), "--subjects", "10", "--no-base"}), 0);
  EXPECT_FALSE(PathExists(folder.Path("c/base")));
  EXPECT_FALSE(folder.Truth("c").contains("entropy"));
  EXPECT_TRUE(folder.Truth("c")["signal"].contains("best_auroc"));
}

TEST(Synth, SplitsFilesAtAThousandSubjects) {
  SynthFolder folder;
  folder.Make("c", {.num_subjects = 1'300, .base = false});
  EXPECT_THAT(*ListDirectory(folder.Path("c/train")), ElementsAre("0.pkl", "1.pkl"));
  EXPECT_THAT(*ListDirectory(folder.Path("c/tuning")), ElementsAre("0.pkl"));
  EXPECT_THAT(Lines(folder.Path("c"), 1), SizeIs(1'300));
}

TEST(SynthCommand, RefusesBadFlagsWithTwo) {
  SynthFolder folder;
  const std::string out = folder.Path("c");
  EXPECT_EQ(RunWith({}), 2);
  EXPECT_EQ(RunWith({"--out", out, "--style", "prose"}), 2);
  EXPECT_EQ(RunWith({"--out", out, "--subjects", "9"}), 2);
  EXPECT_EQ(RunWith({"--out", out, "--subjects", "many"}), 2);
  EXPECT_EQ(RunWith({"--out", out, "--seed", "-1"}), 2);
  EXPECT_EQ(RunWith({"--out", out, "--shape", "round"}), 2);
  EXPECT_FALSE(PathExists(out));
}

TEST(SynthCommand, RefusesAFolderThatIsNotEmptyWithFive) {
  SynthFolder folder;
  ASSERT_TRUE(MakeDirectories(folder.Path("c")).ok());
  std::ofstream(folder.Path("c/mine")) << "kept";
  EXPECT_EQ(RunWith({"--out", folder.Path("c")}), 5);
  EXPECT_THAT(*ListDirectory(folder.Path("c")), ElementsAre("mine"));
  EXPECT_EQ(RunWith({"--out", folder.Path("c/mine")}), 6);
}

TEST(SeedPickle, IsReadBackByTheRestrictedReader) {
  const std::vector<int64_t> tokens = {0, 255, 256, 65'535, 65'536, -1, int64_t{1} << 40};
  const std::vector<double> times_s = {0, -5.5, 1, 2, 3, 4, 1.5e9};
  SeedPickle pickle;
  pickle.AddSubject(int64_t{1} << 33, tokens, times_s);
  pickle.AddSubject(3, {}, {});
  std::vector<int64_t> ids;
  const Status status = ReadSeedSubjects(pickle.Finish(), [&](uint64_t index, RawSubject& subject) {
    ids.push_back(subject.subject_id);
    if (index > 0) return absl::OkStatus();
    EXPECT_EQ(subject.tokens, tokens);
    EXPECT_THAT(subject.times_us, ElementsAre(shard::kStatic, -5'500'000, 1'000'000, 2'000'000,
                                              3'000'000, 4'000'000, 1'500'000'000'000'000));
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(ids, ElementsAre(int64_t{1} << 33, 3));
}

// What Python's own reader says of a cohort's pickle.
std::string PythonReads(const std::string& path) {
  const std::string program =
      "import pickle,sys; d = pickle.load(open(sys.argv[1], 'rb')); "
      "print(len(d), sorted(d[0]), d[0]['subject_id'], type(d[0]['timestamps'][0]).__name__, "
      "all(len(s['tokens']) == len(s['timestamps']) for s in d), d[0]['tokens'][0])";
  std::FILE* pipe = ::popen(Cat("python3 -c \"", program, "\" '", path, "'").c_str(), "r");
  std::string text;
  for (int c = 0; pipe != nullptr && (c = std::fgetc(pipe)) != EOF;) {
    text.push_back(static_cast<char>(c));
  }
  if (pipe != nullptr) ::pclose(pipe);
  return text;
}

TEST(SeedPickle, IsReadByPython) {
  SynthFolder folder;
  folder.Make("c", {.num_subjects = 30, .base = false});
  EXPECT_EQ(PythonReads(folder.Path("c/train/0.pkl")),
            "24 ['subject_id', 'timestamps', 'tokens'] 10000000 float True 1\n");
}

}  // namespace
}  // namespace anamnesis::prep
