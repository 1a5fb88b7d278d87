// SPDX-License-Identifier: Apache-2.0
#include "workers/model/torch_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "workers/model/weight_files.h"
#include "workers/torch_file/torch_writer.h"

namespace anamnesis::model {
namespace {

using torch_file::TorchType;
using torch_file::TorchView;

const std::vector<float> kStored = {1.5f, -2.0f, 3.0f, 0.0f, 5.0f, 6.0f};
const std::vector<int64_t> kIds = {7, 8};

void WriteBin(const std::string& path, const std::vector<TorchView>& tensors) {
  const Status status = torch_file::WriteTorchFile(path, tensors);
  ASSERT_TRUE(status.ok()) << status;
}

TEST(TorchWeights, ADirectoryWithOnlyABinOpensLikeSafetensors) {
  const TemporaryFolder folder;
  WriteBin(folder.File("pytorch_model.bin"), {{"w", TorchType::kF32, {2, 3}, kStored.data()},
                                              {"ids", TorchType::kI64, {2}, kIds.data()}});
  const auto files = WeightFiles::Open(folder.path());
  ASSERT_TRUE(files.ok()) << files.status();
  const StoredTensor* tensor = files->Find("w");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(tensor->type, StoredType::kF32);
  EXPECT_EQ(tensor->size_bytes, 24u);
  std::vector<float> read(6);
  ASSERT_TRUE(files->FileOf("w")->Read(*tensor, read.data()).ok());
  EXPECT_EQ(read, kStored);
  EXPECT_EQ(files->Find("ids")->type, StoredType::kI64);
}

TEST(TorchWeights, ShardsAreReadByTheirIndex) {
  const TemporaryFolder folder;
  WriteBin(folder.File("pytorch_model-00001-of-00002.bin"),
           {{"a", TorchType::kF32, {6}, kStored.data()}});
  WriteBin(folder.File("pytorch_model-00002-of-00002.bin"),
           {{"b", TorchType::kI64, {2}, kIds.data()}});
  folder.Write("pytorch_model.bin.index.json",
               R"({"weight_map": {"a": "pytorch_model-00001-of-00002.bin",
                                  "b": "pytorch_model-00002-of-00002.bin"}})");
  const auto files = WeightFiles::Open(folder.path());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(files->files().size(), 2u);
  EXPECT_NE(files->Find("a"), nullptr);
  EXPECT_NE(files->Find("b"), nullptr);
}

TEST(TorchWeights, SafetensorsComeFirst) {
  const TemporaryFolder folder;
  WriteBin(folder.File("pytorch_model.bin"), {{"old", TorchType::kF32, {6}, kStored.data()}});
  ASSERT_TRUE(WriteSafetensors(folder.File("model.safetensors"),
                               {{"new", StoredType::kF32, {6}, kStored.data()}})
                  .ok());
  const auto files = WeightFiles::Open(folder.path());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_NE(files->Find("new"), nullptr);
  EXPECT_EQ(files->Find("old"), nullptr);
}

TEST(TorchWeights, EveryTypeOfTorchComesBackAndOthersAreRefused) {
  const TemporaryFolder folder;
  const std::string path = folder.File("pytorch_model.bin");
  std::vector<TensorView> views;
  for (const StoredType type :
       {StoredType::kBool, StoredType::kU8, StoredType::kI8, StoredType::kI16, StoredType::kI32,
        StoredType::kI64, StoredType::kF16, StoredType::kBF16, StoredType::kF32,
        StoredType::kF64}) {
    views.push_back({std::string(StoredTypeName(type)), type, {2}, kIds.data()});
  }
  ASSERT_TRUE(WriteTorchWeights(path, views).ok());
  const auto file = TorchWeightFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  for (const TensorView& view : views) EXPECT_EQ(file->Find(view.name)->type, view.type);
  const Status status = WriteTorchWeights(path, {{"w", StoredType::kU32, {2}, kIds.data()}});
  EXPECT_THAT(MessageOf(status), testing::HasSubstr("no storage of PyTorch holds U32"));
}

TEST(TorchWeights, TheDigestSeesAChangedWeight) {
  const TemporaryFolder folder;
  folder.Write("config.json", "{}");
  const std::string path = folder.File("pytorch_model.bin");
  WriteBin(path, {{"w", TorchType::kF32, {6}, kStored.data()}});
  const auto before = ModelDigest(folder.path());
  std::vector<float> other = kStored;
  other[3] = 9.0f;
  WriteBin(path, {{"w", TorchType::kF32, {6}, other.data()}});
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_NE(*before, *ModelDigest(folder.path()));
}

}  // namespace
}  // namespace anamnesis::model
