// SPDX-License-Identifier: Apache-2.0
#include "common/base/crc32.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/workers/torch_file/zip_bytes.h"
#include "workers/torch_file/zip_reader.h"

namespace anamnesis::torch_file {
namespace {

using ::testing::HasSubstr;

const Entries kZipEntries = {
    {"m/data.pkl", "pickle"}, {"m/data/0", std::string(300, 'x')}, {"e", ""}};

StatusOr<ZipFile> OpenZip(const TemporaryFolder& folder, const std::string& bytes) {
  return ZipFile::Open(folder.Write("z", bytes));
}

std::string ZipErrorOf(const std::string& bytes) {
  static const TemporaryFolder folder;
  const auto file = OpenZip(folder, bytes);
  return file.ok() ? "no error" : MessageOf(file.status());
}

// One entry "a" whose sizes follow its data.
std::string WithDescriptor(const std::string& descriptor) {
  const std::string data = "12345678";
  std::string record = LittleEndian(0x0008, 2) + std::string(6, '\0');  // flags, stored, time
  const std::string crc = LittleEndian(Crc32(data.data(), data.size()), 4);
  const std::string sizes = LittleEndian(8, 4) + LittleEndian(8, 4);
  std::string bytes = LittleEndian(zip::kLocalSignature, 4) + LittleEndian(20, 2) + record +
                      std::string(12, '\0') + LittleEndian(1, 2) + LittleEndian(0, 2) + "a" + data;
  bytes += descriptor;
  const size_t directory = bytes.size();
  bytes += LittleEndian(zip::kCentralSignature, 4) + LittleEndian(20, 2) + LittleEndian(20, 2) +
           record + crc + sizes + LittleEndian(1, 2) + std::string(16, '\0') + "a";
  const size_t directory_bytes = bytes.size() - directory;
  return bytes + LittleEndian(zip::kEndSignature, 4) + std::string(4, '\0') + LittleEndian(1, 2) +
         LittleEndian(1, 2) + LittleEndian(directory_bytes, 4) + LittleEndian(directory, 4) +
         std::string(2, '\0');
}

TEST(ZipFile, ReadsWhatTheWriterWroteAndItsDataIsAligned) {
  const TemporaryFolder folder;
  for (const uint64_t zip64_from : {uint64_t{zip::kNone32}, uint64_t{1}}) {
    const auto file = OpenZip(folder, ZipOf(kZipEntries, zip64_from));
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ(file->entries().size(), kZipEntries.size());
    for (const auto& [name, data] : kZipEntries) {
      ASSERT_NE(file->Find(name), nullptr);
      EXPECT_EQ(file->Find(name)->data_offset % 64, 0u);
      EXPECT_EQ(*file->ReadAll(*file->Find(name), 1000), data);
    }
    EXPECT_EQ(file->Find("none"), nullptr);
  }
}

TEST(ZipFile, TakesDataDescriptorsOfEveryForm) {
  const std::string crc = LittleEndian(Crc32("12345678", 8), 4);
  const std::string narrow = crc + LittleEndian(8, 4) + LittleEndian(8, 4);
  const std::string wide = crc + LittleEndian(8, 8) + LittleEndian(8, 8);
  const std::string signature = LittleEndian(zip::kDescriptorSignature, 4);
  for (const std::string& form : {narrow, wide, signature + narrow, signature + wide}) {
    EXPECT_EQ(ZipErrorOf(WithDescriptor(form)), "no error");
  }
  const std::string other = crc + LittleEndian(8, 4) + LittleEndian(9, 4);
  EXPECT_THAT(ZipErrorOf(WithDescriptor(signature + other)), HasSubstr("no data descriptor"));
  EXPECT_THAT(ZipErrorOf(WithDescriptor("")), HasSubstr("no data descriptor"));
}

TEST(ZipFile, RefusesPrefixesOfAFile) {
  const std::string bytes = ZipOf(kZipEntries);
  for (size_t size = 0; size < bytes.size(); size += size + 40 < bytes.size() ? 23 : 1) {
    EXPECT_NE(ZipErrorOf(bytes.substr(0, size)), "no error") << size;
  }
}

TEST(ZipFile, SaysWhatIsWrong) {
  const std::string good = ZipOf(kZipEntries);
  const uint32_t central = zip::kCentralSignature, local = zip::kLocalSignature;
  const auto sized = [&](uint64_t size) {
    std::string bytes = good;
    for (const size_t field : {size_t{20}, size_t{24}}) {
      bytes = WithField(bytes, central, 1, field, size, 4);
      bytes = WithField(bytes, local, 1, field - 2, size, 4);
    }
    return bytes;
  };
  const struct {
    std::string bytes;
    std::string error;
  } kRows[] = {
      {WithField(good, central, 1, 10, 8, 2), "compression method 8, expected 0"},
      {WithField(good, central, 0, 8, 1, 2), "is encrypted"},
      {sized(0xFFFFFFF0), "reach beyond the entries"},
      {WithField(good, central, 1, 24, 0xFFFFFFF0, 4), "300 stored bytes stand for 4294967280"},
      {WithField(good, central, 1, 42, 0, 4), "inside the entry before it"},
      {WithField(good, central, 1, 42, 71, 4), "no entry header at byte 71"},
      {WithField(good, central, 1, 42, 0x7FFFFFFF, 4), "lies outside the entries"},
      {WithField(good, local, 1, 30, 'X', 1), "and the zip directory disagree"},
      {WithField(good, local, 1, 14, 1, 4), "and the zip directory disagree"},
      {WithField(good, local, 1, 28, 0xFFFF, 2), "is cut short"},
      {WithField(good, zip::kEndSignature, 0, 10, 9, 2), "spread over several files"},
      {WithField(WithField(good, zip::kEndSignature, 0, 10, 9, 2), zip::kEndSignature, 0, 8, 9, 2),
       "do not fit into a zip directory"},
      {WithField(good, zip::kEndSignature, 0, 12, 0x7FFFFFFF, 4), "does not fit into the file"},
      {ZipOf({{"a", "1"}, {"a", "2"}}), "two entries have the same name"},
      {"not a zip file at all, but long enough", "no end of a zip file's directory"}};
  for (const auto& row : kRows) EXPECT_THAT(ZipErrorOf(row.bytes), HasSubstr(row.error));
}

TEST(ZipFile, FindsAChangedByteByTheChecksumOfTheWholeEntry) {
  const TemporaryFolder folder;
  std::string bytes = ZipOf(kZipEntries);
  bytes[bytes.find("xxxx")] = 'y';
  const auto file = OpenZip(folder, bytes);
  ASSERT_TRUE(file.ok());
  const Status status = file->ReadAll(*file->Find("m/data/0"), 1000).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(MessageOf(status), HasSubstr("CRC-32"));
}

TEST(ZipFile, ReadsNoMoreThanAllowed) {
  const TemporaryFolder folder;
  const auto file = OpenZip(folder, ZipOf(kZipEntries));
  EXPECT_THAT(MessageOf(file->ReadAll(*file->Find("m/data/0"), 299).status()),
              HasSubstr("300 bytes, expected at most 299"));
}

}  // namespace
}  // namespace anamnesis::torch_file
