// SPDX-License-Identifier: Apache-2.0
// Files of torch.save, both ways: what PyTorch writes is read with equal bytes, what is written
// here opens in PyTorch, and training_args.bin in transformers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/io/file.h"
#include "common/io/json.h"
#include "tests/golden/oracle.h"
#include "workers/torch_file/torch_reader.h"
#include "workers/torch_file/torch_writer.h"
#include "workers/torch_file/training_args.h"

namespace anamnesis::torch_file {
namespace {

using golden::RunOracle;
using ::testing::HasSubstr;

// The files of `torch_files.py write`, made once; empty when the script failed.
const std::string& WrittenByTorch() {
  static const std::string directory = [] {
    const std::string path = golden::ScratchDirectory("torch_files");
    int status = 0;
    const std::string output = RunOracle("torch_files.py", "write " + path, &status);
    EXPECT_EQ(status, 0) << output;
    return status == 0 ? path : std::string();
  }();
  return directory;
}

class TorchFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  }
};

std::string BytesOfTensor(const TorchFile& file, const PickledTensor& tensor) {
  std::string bytes(tensor.numel * static_cast<uint64_t>(BytesOf(tensor.type)), '\0');
  const Status status = file.Read(tensor, bytes.data());
  EXPECT_TRUE(status.ok()) << status;
  return bytes;
}

TEST_F(TorchFiles, AreReadWithTheBytesThatTorchHolds) {
  int num_tensors = 0;
  for (const char* name : {"state", "protocol4", "dict", "module", "nothing"}) {
    const std::string base = Cat(WrittenByTorch(), "/", name);
    const auto file = TorchFile::Open(base + ".bin");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->tensors().size(), ListDirectory(base)->size()) << name;
    for (const PickledTensor& tensor : file->tensors()) {
      EXPECT_EQ(BytesOfTensor(*file, tensor), *ReadFile(Cat(base, "/", tensor.name, ".raw")))
          << name << " " << tensor.name;
      ++num_tensors;
    }
  }
  EXPECT_EQ(num_tensors, 3 * 19 + 4);
  const auto file = TorchFile::Open(WrittenByTorch() + "/state.bin");
  EXPECT_EQ(file->Find("weight")->storage_key, file->Find("tied")->storage_key);
}

TEST_F(TorchFiles, OfOtherKindsAreRefusedByName) {
  const std::pair<const char*, const char*> kRows[] = {
      {"old", "before PyTorch 1.6"},
      {"trainer", "'epoch' is an int, expected a tensor"},
      {"object", "'torch.nn.modules.linear.Linear' is refused"},
      {"expanded", "it repeats elements: 1000 of a storage of 1"},
      {"script", "compression method 8, expected 0 (stored, as torch.save writes it)"}};
  for (const auto& [name, error] : kRows) {
    const Status status = TorchFile::Open(Cat(WrittenByTorch(), "/", name, ".bin")).status();
    EXPECT_THAT(MessageOf(status), HasSubstr(error)) << name;
  }
}

// Read, write, and let PyTorch compare with what it held: with 32-bit and with 64-bit zip fields.
TEST_F(TorchFiles, WrittenHereOpenInTorch) {
  const auto file = TorchFile::Open(WrittenByTorch() + "/state.bin");
  ASSERT_TRUE(file.ok()) << file.status();
  std::map<std::string, std::string> data;
  std::vector<TorchView> views;
  for (const PickledTensor& tensor : file->tensors()) {
    const std::string name = tensor.name == "tied" ? "weight" : tensor.name;
    if (!data.contains(name)) data[name] = BytesOfTensor(*file, tensor);
    views.push_back({tensor.name, tensor.type, tensor.shape, data[name].data()});
  }
  std::string paths;
  for (const uint64_t zip64_from : {uint64_t{zip::kNone32}, uint64_t{1}}) {
    const std::string path = Cat(WrittenByTorch(), "/pytorch_model_", zip64_from, ".bin");
    ASSERT_TRUE(WriteTorchFile(path, views, zip64_from).ok());
    paths += " " + path;
  }
  int status = 0;
  const std::string output = RunOracle(
      "torch_files.py", Cat("open ", WrittenByTorch(), "/state weight,tied", paths), &status);
  EXPECT_EQ(status, 0) << output;
}

TEST_F(TorchFiles, TrainingArgsOpenInTransformersWithOurValues) {
  TrainingArgs args;
  args.output_dir = "outputs/bert";
  args.run_name = "fold 3";
  args.report_to = {"tensorboard", "wandb"};
  args.per_device_train_batch_size = 300;
  args.per_device_eval_batch_size = 17;
  args.gradient_accumulation_steps = 4;
  args.num_train_epochs = 2.5;
  args.max_steps = 70000;
  args.learning_rate = 2e-5;
  args.lr_scheduler_type = "cosine";
  args.warmup_steps = 123;
  args.weight_decay = 0.01;
  args.adam_beta2 = 0.95;
  args.max_grad_norm = 0.5;
  args.seed = int64_t{1} << 40;
  args.use_cpu = true;
  args.eval_strategy = "epoch";
  args.eval_steps = 40;
  args.save_strategy = "best";
  args.save_total_limit = 2;
  args.load_best_model_at_end = true;
  args.metric_for_best_model = "auroc";
  args.greater_is_better = true;
  const std::string path = golden::ScratchDirectory("args") + "/training_args.bin";
  ASSERT_TRUE(WriteTrainingArgs(path, args).ok());
  int status = 0;
  const std::string output = RunOracle("torch_files.py", "args " + path, &status);
  ASSERT_EQ(status, 0) << output;
  const auto ours = ReadJsonFile(path.substr(0, path.size() - 4) + ".json");
  const auto theirs = ParseJson(output.substr(output.rfind('\n', output.size() - 2) + 1), "oracle");
  ASSERT_TRUE(ours.ok() && theirs.ok()) << output;
  int num_compared = 0;
  for (const auto& [name, value] : ours->items()) {
    if (!theirs->contains(name)) continue;
    EXPECT_EQ((*theirs)[name], value) << name;
    ++num_compared;
  }
  EXPECT_EQ(num_compared, 39);
  EXPECT_EQ((*theirs)["seed"], int64_t{1} << 40);
  EXPECT_EQ((*theirs)["logging_nan_inf_filter"], true);  // a default of the class
}

}  // namespace
}  // namespace anamnesis::torch_file
