// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/workers/torch_file/zip_bytes.h"
#include "workers/torch_file/torch_reader.h"
#include "workers/torch_file/torch_writer.h"
#include "workers/torch_file/training_args.h"

namespace anamnesis::torch_file {
namespace {

using ::testing::HasSubstr;

std::vector<float> Counted(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.5f);
  return values;
}

StatusOr<TorchFile> OpenEntries(const TemporaryFolder& folder, const Entries& entries) {
  return TorchFile::Open(folder.Write("m.bin", ZipOf(entries)));
}

std::string ErrorOf(const Entries& entries) {
  const TemporaryFolder folder;
  const auto file = OpenEntries(folder, entries);
  return file.ok() ? "no error" : MessageOf(file.status());
}

// The entries of a good file with one tensor of six floats.
Entries GoodEntries(const TemporaryFolder& folder) {
  const std::vector<float> data = Counted(6);
  const std::string path = folder.File("good.bin");
  if (!WriteTorchFile(path, {{"w", TorchType::kF32, {2, 3}, data.data()}}).ok()) return {};
  const auto zip = ZipFile::Open(path);
  Entries entries;
  for (const ZipEntry& entry : zip->entries()) {
    entries.emplace_back(entry.name, *zip->ReadAll(entry, 1000));
  }
  return entries;
}

Entries Without(Entries entries, const std::string& name) {
  std::erase_if(entries, [&](const auto& entry) { return entry.first == name; });
  return entries;
}

Entries With(Entries entries, const std::string& name, const std::string& data) {
  entries = Without(std::move(entries), name);
  entries.emplace_back(name, data);
  return entries;
}

TEST(TorchFile, ReadsBackEveryTypeAndKeepsTiedTensorsTied) {
  const TemporaryFolder folder;
  const std::vector<float> weight = Counted(6);
  const std::vector<int64_t> ids = {1, -2};
  const std::string path = folder.File("pytorch_model.bin");
  ASSERT_TRUE(WriteTorchFile(path, {{"a", TorchType::kF32, {2, 3}, weight.data()},
                                    {"ids", TorchType::kI64, {1, 2}, ids.data()},
                                    {"tied", TorchType::kF32, {2, 3}, weight.data()},
                                    {"scalar", TorchType::kF32, {}, weight.data() + 5},
                                    {"none", TorchType::kBF16, {0, 4}, nullptr}})
                  .ok());
  const auto file = TorchFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 5u);
  std::vector<float> read(6);
  ASSERT_TRUE(file->Read(*file->Find("tied"), read.data()).ok());
  EXPECT_EQ(read, weight);
  EXPECT_EQ(file->Find("a")->storage_key, file->Find("tied")->storage_key);
  std::vector<int64_t> read_ids(2);
  ASSERT_TRUE(file->Read(*file->Find("ids"), read_ids.data()).ok());
  EXPECT_EQ(read_ids, ids);
  float scalar = 0;
  ASSERT_TRUE(file->Read(*file->Find("scalar"), &scalar).ok());
  EXPECT_EQ(scalar, 5.5f);
  EXPECT_TRUE(file->Read(*file->Find("none"), nullptr).ok());
  EXPECT_EQ(file->Find("absent"), nullptr);
}

TEST(TorchFile, LaysAViewOutRowByRow) {
  const TemporaryFolder folder;
  const auto file = OpenEntries(folder, GoodEntries(folder));
  ASSERT_TRUE(file.ok()) << file.status();
  PickledTensor view = *file->Find("w");  // columns 2 and 1 as rows would have negative strides
  view.shape = {3, 2};
  view.strides = {1, 3};
  view.span = 6;
  std::vector<float> read(6);
  ASSERT_TRUE(file->Read(view, read.data()).ok());
  EXPECT_THAT(read, ::testing::ElementsAre(0.5f, 3.5f, 1.5f, 4.5f, 2.5f, 5.5f));
}

TEST(TorchFile, SaysWhichPartIsMissingOrWrong) {
  const TemporaryFolder folder;
  const Entries good = GoodEntries(folder);
  EXPECT_EQ(ErrorOf(good), "no error");
  EXPECT_THAT(ErrorOf(Without(good, "good/data.pkl")), HasSubstr("0 entries FOLDER/data.pkl"));
  EXPECT_THAT(ErrorOf(With(good, "b/data.pkl", "")), HasSubstr("2 entries FOLDER/data.pkl"));
  EXPECT_THAT(ErrorOf(Without(good, "good/data/0")), HasSubstr("its storage, an entry data/KEY"));
  EXPECT_THAT(ErrorOf(With(good, "good/data/0", "short")),
              HasSubstr("its storage has 5 bytes, expected 24"));
  EXPECT_THAT(ErrorOf(Without(good, "good/version")), HasSubstr("version is missing"));
  for (const char* version : {"", "0", "11", "99999999999999999999", "x"}) {
    EXPECT_THAT(ErrorOf(With(good, "good/version", version)), HasSubstr("a number from 1 to 10"));
  }
  EXPECT_THAT(ErrorOf(With(good, "good/byteorder", "big")), HasSubstr("expected 'little'"));
  EXPECT_THAT(ErrorOf(With(good, "good/constants.pkl", "")), HasSubstr("TorchScript"));
}

TEST(TorchFile, RefusesTheOldFormatByName) {
  const TemporaryFolder folder;
  const std::string head = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02";
  const Status status = TorchFile::Open(folder.Write("old.bin", head)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(MessageOf(status), HasSubstr("before PyTorch 1.6"));
}

TEST(WriteTorchFile, EqualTensorsGiveEqualBytesAndNamesAreUnique) {
  const TemporaryFolder folder;
  const std::vector<float> data = Counted(4);
  const std::vector<TorchView> tensors = {{"w", TorchType::kF32, {4}, data.data()}};
  ASSERT_TRUE(WriteTorchFile(folder.File("x.bin"), tensors).ok());
  const std::string first = *ReadFile(folder.File("x.bin"));
  ASSERT_TRUE(WriteTorchFile(folder.File("x.bin"), tensors).ok());
  EXPECT_EQ(*ReadFile(folder.File("x.bin")), first);
  EXPECT_THAT(MessageOf(WriteTorchFile(folder.File("y.bin"), {tensors[0], tensors[0]})),
              HasSubstr("'w' is taken"));
  const int64_t huge = int64_t{1} << 40;
  EXPECT_THAT(MessageOf(WriteTorchFile(folder.File("y.bin"),
                                       {{"w", TorchType::kF32, {huge, huge}, nullptr}})),
              HasSubstr("too large"));
  EXPECT_FALSE(PathExists(folder.File("y.bin")));
}

TEST(TrainingArgs, AreWrittenBesideTheirJsonAndUnknownWordsAreRefused) {
  const TemporaryFolder folder;
  TrainingArgs args;
  args.output_dir = "out";
  args.learning_rate = 2e-5;
  ASSERT_TRUE(WriteTrainingArgs(folder.File("training_args.bin"), args).ok());
  EXPECT_THAT(*ReadFile(folder.File("training_args.json")), HasSubstr("\"learning_rate\": 2e-05"));
  args.lr_scheduler_type = "sawtooth";
  EXPECT_THAT(MessageOf(WriteTrainingArgs(folder.File("training_args.bin"), args)),
              HasSubstr("lr_scheduler_type: 'sawtooth', expected one of linear, cosine"));
  EXPECT_THAT(MessageOf(WriteTrainingArgs(folder.File("args.pt"), args)),
              HasSubstr("ends in .bin"));
}

// What is written is never read here: the reader refuses its classes.
TEST(TrainingArgs, AreRefusedByTheReader) {
  const TemporaryFolder folder;
  const std::string path = folder.File("training_args.bin");
  ASSERT_TRUE(WriteTrainingArgs(path, TrainingArgs()).ok());
  EXPECT_THAT(MessageOf(TorchFile::Open(path).status()),
              HasSubstr("'transformers.training_args.TrainingArguments' is refused"));
}

}  // namespace
}  // namespace anamnesis::torch_file
