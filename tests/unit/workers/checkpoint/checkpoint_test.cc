// SPDX-License-Identifier: Apache-2.0
#include "workers/checkpoint/checkpoint.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "common/io/file.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::checkpoint {
namespace {

StatusOr<Staged> Save(const SaveOptions& options) {
  ANAM_ASSIGN_OR_RETURN(const Staged staged, Stage(options));
  ANAM_RETURN_IF_ERROR(Publish(staged));
  return staged;
}

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() {
    std::filesystem::create_directory(directory_ + "/model");
    EXPECT_TRUE(WriteFileDurably(directory_ + "/model/tokenizer.json", "{}").ok());
    std::iota(exp_avg_.begin(), exp_avg_.end(), 0.5f);
    std::iota(exp_avg_sq_.begin(), exp_avg_sq_.end(), 100.0f);
  }

  SaveOptions Options(int64_t step) {
    SaveOptions options;
    options.output_directory = output_;
    options.name = Cat(kCheckpointPrefix, step);
    options.manifest.step = step;
    options.manifest.run_id = "run";
    options.model_directory = directory_ + "/model";
    options.write_files = [this, step](const std::string& staging) -> Status {
      ANAM_RETURN_IF_ERROR(WriteFileDurably(staging + "/weights", Cat("weights of ", step)));
      return WriteOptimizer(staging + "/" + kOptimizerName, step, Tensors());
    };
    return options;
  }
  std::vector<OptimizerTensor> Tensors() {
    return {{"a.weight", std::span(exp_avg_).first(7), std::span(exp_avg_sq_).first(7)},
            {"b.weight", std::span(exp_avg_).last(3), std::span(exp_avg_sq_).last(3)}};
  }
  std::vector<int64_t> Steps() {
    std::vector<int64_t> steps;
    const std::vector<CheckpointPath> paths = ListCheckpoints(output_).value();
    for (const CheckpointPath& path : paths) steps.push_back(path.step);
    return steps;
  }

  const TemporaryFolder folder_;
  const std::string directory_ = folder_.path();
  const std::string output_ = folder_.File("out");
  std::vector<float> exp_avg_ = std::vector<float>(10);
  std::vector<float> exp_avg_sq_ = std::vector<float>(10);
};

TEST_F(CheckpointTest, GetsATokenizerJsonBesideAVocabTxt) {
  const std::string model = directory_ + "/model";
  std::filesystem::remove(model + "/tokenizer.json");
  ASSERT_TRUE(
      WriteFileDurably(model + "/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n").ok());
  const Staged saved = Save(Options(5)).value();
  EXPECT_TRUE(PathExists(saved.path + "/vocab.txt"));
  const StatusOr<std::string> json = ReadFile(saved.path + "/tokenizer.json");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_NE(json->find("BertNormalizer"), std::string::npos);
}

TEST_F(CheckpointTest, ComesBackAsItWasSaved) {
  const Staged saved = Save(Options(5)).value();
  const Manifest manifest = OpenVerified(saved.path).value();
  EXPECT_EQ(manifest.step, 5);
  EXPECT_EQ(manifest.files.size(), 3u);
  EXPECT_EQ(FileSha256(saved.path + "/manifest.json").value(), saved.sha256);
  const auto exp_avg = exp_avg_;
  const auto exp_avg_sq = exp_avg_sq_;
  exp_avg_.assign(10, 0);
  exp_avg_sq_.assign(10, 0);
  int64_t step = 0;
  ASSERT_TRUE(ReadOptimizer(saved.path + "/" + kOptimizerName, &step, Tensors()).ok());
  EXPECT_EQ(step, 5);
  EXPECT_EQ(exp_avg_, exp_avg);
  EXPECT_EQ(exp_avg_sq_, exp_avg_sq);
}

TEST_F(CheckpointTest, IsRefusedWhenAnyByteOfAnyFileIsFlipped) {
  const Staged saved = Save(Options(5)).value();
  const Manifest manifest = ReadManifest(saved.path).value();
  for (const FileEntry& file : manifest.files) {
    const std::string path = saved.path + "/" + file.name;
    const std::string content = ReadFile(path).value();
    for (const size_t at : {size_t{0}, content.size() / 2, content.size() - 1}) {
      std::string changed = content;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      ASSERT_TRUE(WriteFileDurably(path, changed).ok());
      const Status status = OpenVerified(saved.path).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_NE(MessageOf(status).find(file.name), std::string::npos);
    }
    ASSERT_TRUE(WriteFileDurably(path, content).ok());
  }
  EXPECT_TRUE(OpenVerified(saved.path).ok());
}

TEST_F(CheckpointTest, IsRefusedWhenAFileIsMissingOrTruncated) {
  const Staged saved = Save(Options(5)).value();
  std::filesystem::resize_file(saved.path + "/weights", 3);
  EXPECT_EQ(OpenVerified(saved.path).status().code(), absl::StatusCode::kDataLoss);
  std::filesystem::remove(saved.path + "/weights");
  EXPECT_NE(MessageOf(OpenVerified(saved.path).status()).find("weights"), std::string::npos);
}

TEST_F(CheckpointTest, DoesNotExistWithoutItsManifest) {
  const Staged saved = Save(Options(5)).value();
  std::filesystem::remove(saved.path + "/manifest.json");
  EXPECT_EQ(OpenVerified(saved.path).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CheckpointTest, IsNotThereWhenTheCommitIsRefused) {
  const Staged staged = Stage(Options(5)).value();
  EXPECT_TRUE(PathExists(staged.staging + "/manifest.json"));
  EXPECT_FALSE(PathExists(staged.path));
  Discard(staged);
  EXPECT_TRUE(ListDirectory(output_).value().empty());
}

TEST_F(CheckpointTest, OfALateAttemptTouchesNoOthersStaging) {
  SaveOptions late = Options(5);
  late.manifest.attempt = 1;
  SaveOptions current = Options(5);
  current.manifest.attempt = 2;
  const Staged staged = Stage(current).value();
  Discard(Stage(late).value());
  EXPECT_TRUE(Publish(staged).ok());
  EXPECT_EQ(OpenVerified(staged.path).value().attempt, 2u);
}

// A file size limit fails the same write(2) calls as a full disk, at a byte that we choose.
TEST_F(CheckpointTest, LeavesThePreviousOneWhenAWriteFailsAtAnyPlace) {
  const Staged before = Save(Options(5)).value();
  for (const rlim_t limit_bytes : {1, 20, 200, 500}) {
    const pid_t pid = fork();
    if (pid == 0) {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{limit_bytes, limit_bytes};
      setrlimit(RLIMIT_FSIZE, &limit);
      _exit(Save(Options(6)).ok() ? 0 : 3);
    }
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(WEXITSTATUS(status), 3) << limit_bytes;
    EXPECT_EQ(ListDirectory(output_).value(), std::vector<std::string>{"checkpoint-5"});
    EXPECT_TRUE(OpenVerified(before.path).ok());
  }
}

TEST_F(CheckpointTest, KilledBeforeTheRenameLeavesOnlyStagingThatTheNextStartRemoves) {
  const Staged before = Save(Options(5)).value();
  const pid_t pid = fork();
  if (pid == 0) {
    Stage(Options(6)).status().IgnoreError();
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(PathExists(output_ + "/.staging-1-checkpoint-6/manifest.json"));
  EXPECT_EQ(Steps(), std::vector<int64_t>{5});
  ASSERT_TRUE(RemoveStaging(output_).ok());
  EXPECT_EQ(ListDirectory(output_).value(), std::vector<std::string>{"checkpoint-5"});
}

TEST_F(CheckpointTest, ReplacesAFolderOfTheSameName) {
  ASSERT_TRUE(Save(Options(5)).ok());
  SaveOptions options = Options(5);
  options.manifest.run_id = "second";
  ASSERT_TRUE(Save(options).ok());
  EXPECT_EQ(OpenVerified(output_ + "/checkpoint-5").value().run_id, "second");
  EXPECT_EQ(ListDirectory(output_).value().size(), 1u);
}

TEST_F(CheckpointTest, KeepsTheNewestAndTheBest) {
  for (const int64_t step : {2, 4, 6, 8}) ASSERT_TRUE(Save(Options(step)).ok());
  ASSERT_TRUE(RemoveOldCheckpoints(output_, 0, "").ok());
  EXPECT_EQ(Steps().size(), 4u);
  ASSERT_TRUE(RemoveOldCheckpoints(output_, 2, output_ + "/checkpoint-2").ok());
  EXPECT_EQ(Steps(), (std::vector<int64_t>{2, 6, 8}));
}

TEST_F(CheckpointTest, RefusesAnOptimizerOfAnotherAdapter) {
  const Staged saved = Save(Options(5)).value();
  auto tensors = Tensors();
  tensors[1].name = "c.weight";
  int64_t step = 0;
  const Status status = ReadOptimizer(saved.path + "/" + kOptimizerName, &step, tensors);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(MessageOf(status).find("c.weight"), std::string::npos);
}

}  // namespace
}  // namespace anamnesis::checkpoint
