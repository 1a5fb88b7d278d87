// SPDX-License-Identifier: Apache-2.0
#include "workers/model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/philox.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::model {
namespace {

using testing::HasSubstr;

std::string FileOf(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

Status OpenBytes(const std::string& bytes) {
  const TemporaryFolder scratch;
  EXPECT_TRUE(WriteFileDurably(scratch.File("x.safetensors"), bytes).ok());
  return SafetensorsFile::Open(scratch.File("x.safetensors")).status();
}

TEST(Safetensors, ComeBackAsWritten) {
  const TemporaryFolder scratch;
  const float a[] = {1, 2, 3, 4, 5, 6};
  const int64_t b[] = {-7};
  ASSERT_TRUE(WriteSafetensors(scratch.File("x"), {{"a", StoredType::kF32, {2, 3}, a},
                                                   {"b", StoredType::kI64, {}, b},
                                                   {"none", StoredType::kU8, {0, 4}, nullptr}})
                  .ok());
  const auto file = SafetensorsFile::Open(scratch.File("x"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().front().name, "b");  // widest dtype first
  EXPECT_EQ(file->metadata().at("format"), "pt");
  float back[6] = {};
  ASSERT_TRUE(file->Read(*file->Find("a"), back).ok());
  EXPECT_THAT(back, testing::ElementsAreArray(a));
  EXPECT_EQ(file->Find("none")->NumElements(), 0);
  EXPECT_EQ(file->Find("absent"), nullptr);
}

TEST(Safetensors, AreWrittenByteForByteAsThePythonLibraryDoes) {
  const TemporaryFolder scratch;
  const float a[] = {1, 2};
  const uint16_t b[] = {0x3f80};
  ASSERT_TRUE(WriteSafetensors(scratch.File("x"), {{"w.b", StoredType::kBF16, {1}, b},
                                                   {"w.a", StoredType::kF32, {1, 2}, a}})
                  .ok());
  // save_file({"w.b": torch.ones(1).bfloat16(), "w.a": torch.tensor([[1., 2.]])}, …, {"format":
  // "pt"})
  std::string header =
      R"({"__metadata__":{"format":"pt"},"w.a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("w.b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string data("\0\0\x80\x3f\0\0\0\x40\x80\x3f", 10);
  EXPECT_EQ(*ReadFile(scratch.File("x")), FileOf(header, data));
}

TEST(Safetensors, RefuseTwoTensorsOfOneName) {
  const TemporaryFolder scratch;
  const float a[] = {1};
  EXPECT_FALSE(WriteSafetensors(scratch.File("x"),
                                {{"a", StoredType::kF32, {1}, a}, {"a", StoredType::kF32, {1}, a}})
                   .ok());
}

struct BadHeader {
  std::string header;
  std::string data;
  std::string text;
};

TEST(Safetensors, RefuseEveryBrokenHeader) {
  const std::string good = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  const BadHeader kCases[] = {
      {"", "", "expected '{'"},
      {" {}", "", "expected '{'"},
      {"{", "", "not valid JSON"},
      {"{}x", "", "not valid JSON"},
      {"{\"a\xff\":{" + good + "}}", "1234", "not valid JSON"},
      {"{\"a\":{" + good + "},\"a\":{" + good + "}}", "1234", "appears twice"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234",
       "a field appears twice"},
      {R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", "1234", "dtype is not one of"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", "1234", "expected the fields"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", "1234",
       "unknown field"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234", "negative number"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", "1234", "fraction"},
      {R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}})", "1234",
       "fraction"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}})", "1234",
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234",
       "the shape and dtype need 8"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "12345678", "expected 0"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "1234", "start at 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "1234", "expected two numbers"},
      {"{\"a\":{" + good + "},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
       "123456789012", "start at 8, expected 4"},
      {"{\"a\":{" + good + "},\"b\":{" + good + "}}", "1234", "start at 0, expected 4"},
      {"{\"a\":{" + good + "}}", "123", "has 3 bytes, the header describes 4"},
      {"{\"a\":{" + good + "}}", "12345", "has 5 bytes, the header describes 4"},
      {R"({"__metadata__":{"a":1}})", "", "a number where none is allowed"},
      {R"({"__metadata__":{"a":{}}})", "", "an object where none is allowed"},
      {R"({"a":[]})", "", "a list where none is allowed"},
      {R"({"a":null})", "", "a null"},
      {R"({"a":{"dtype":[],"shape":[],"data_offsets":[0,0]}})", "", "a list where none is allowed"},
      {"[]", "", "expected '{'"}};
  for (const BadHeader& row : kCases) {
    const Status status = OpenBytes(FileOf(row.header, row.data));
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << row.header;
    EXPECT_THAT(MessageOf(status), HasSubstr(row.text)) << row.header;
  }
}

TEST(Safetensors, RefuseAFalseHeaderLength) {
  for (const uint64_t length : {uint64_t{3}, uint64_t{100'000'001}, ~uint64_t{0}}) {
    const std::string bytes = std::string(reinterpret_cast<const char*>(&length), 8) + "{}";
    EXPECT_THAT(MessageOf(OpenBytes(bytes)), HasSubstr("header length"));
  }
  EXPECT_THAT(MessageOf(OpenBytes("{}")), HasSubstr("2 bytes"));
  EXPECT_EQ(ExitCodeOf(SafetensorsFile::Open("/nowhere/x").status()), 6);
}

TEST(Safetensors, NeverCrashOnMutatedOrTruncatedFiles) {
  const TemporaryFolder scratch;
  const float a[] = {1, 2, 3};
  ASSERT_TRUE(WriteSafetensors(scratch.File("x"), {{"a", StoredType::kF32, {3}, a}}).ok());
  const std::string whole = *ReadFile(scratch.File("x"));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(OpenBytes(whole.substr(0, size)).ok()) << size;
  }
  PhiloxStream random(5, 0);
  for (int i = 0; i < 300; ++i) {
    std::string bytes = whole.substr(8, whole.size() - 20);
    bytes[random.Below(bytes.size())] = static_cast<char>(random.Below(256));
    std::vector<StoredTensor> tensors;
    std::map<std::string, std::string> metadata;
    const Status status = ParseSafetensorsHeader(bytes, 12, "x", &tensors, &metadata);
    EXPECT_TRUE(!status.ok() || tensors.size() == 1) << i;  // a changed name is still a name
  }
}

}  // namespace
}  // namespace anamnesis::model
