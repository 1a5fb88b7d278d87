// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/pickle.h"

#include <cmath>

#include "common/io/pickle_ops.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/workers/prep/pickle_writer.h"
#include "workers/prep/seed_subjects.h"

namespace anamnesis::prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

// CPython's pickle.dumps(data, protocol=P) of
//   [{'subject_id': 7, 'tokens': [1, 300, 70000, 5], 'timestamps': [0.0, -86400.5, 1.5e9,
//   1500000000]},
//    {'subject_id': -2**40, 'tokens': [], 'timestamps': (), 'extra': [None, True, False, ('x',),
//    {}]}]
const char* const kByCPython[] = {
    "80025d7100287d710128580a0000007375626a6563745f696471024b075806000000746f6b656e7371035d7104284b"
    "014d2c014a70110100"
    "4b0565580a00000074696d657374616d707371055d71062847000000000000000047c0f51808000000004741d65a0b"
    "c00000004a002f6859"
    "65757d71072868028a060000000000ff68035d71086805295805000000657874726171095d710a284e888958010000"
    "0078710b85710c7d71"
    "0d6575652e",
    "80035d7100287d710128580a0000007375626a6563745f696471024b075806000000746f6b656e7371035d7104284b"
    "014d2c014a70110100"
    "4b0565580a00000074696d657374616d707371055d71062847000000000000000047c0f51808000000004741d65a0b"
    "c00000004a002f6859"
    "65757d71072868028a060000000000ff68035d71086805295805000000657874726171095d710a284e888958010000"
    "0078710b85710c7d71"
    "0d6575652e",
    "8004958e000000000000005d94287d94288c0a7375626a6563745f6964944b078c06746f6b656e73945d94284b014d"
    "2c014a701101004b05"
    "658c0a74696d657374616d7073945d942847000000000000000047c0f51808000000004741d65a0bc00000004a002f"
    "685965757d94286802"
    "8a060000000000ff68035d946805298c056578747261945d94284e88898c01789485947d946575652e",
    "8005958e000000000000005d94287d94288c0a7375626a6563745f6964944b078c06746f6b656e73945d94284b014d"
    "2c014a701101004b05"
    "658c0a74696d657374616d7073945d942847000000000000000047c0f51808000000004741d65a0bc00000004a002f"
    "685965757d94286802"
    "8a060000000000ff68035d946805298c056578747261945d94284e88898c01789485947d946575652e"};

Status ReadAll(const std::string& bytes, std::vector<RawSubject>* subjects = nullptr) {
  return ReadSeedSubjects(bytes, [&](uint64_t, RawSubject& subject) {
    if (subjects != nullptr) subjects->push_back(subject);
    return absl::OkStatus();
  });
}

std::string ErrorOf(const std::string& bytes) {
  const Status status = ReadAll(bytes);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return MessageOf(status);
}

TEST(Pickle, ReadsProtocols2To5AsCPythonWritesThem) {
  for (const char* hex : kByCPython) {
    std::vector<RawSubject> subjects;
    const Status status = ReadAll(FromHex(hex), &subjects);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(subjects.size(), 2u);
    EXPECT_EQ(subjects[0].subject_id, 7);
    EXPECT_THAT(subjects[0].tokens, ElementsAre(1, 300, 70000, 5));
    EXPECT_THAT(subjects[0].times_us, ElementsAre(shard::kStatic, -86'400'500'000,
                                                  1'500'000'000'000'000, 1'500'000'000'000'000));
    EXPECT_EQ(subjects[1].subject_id, -(int64_t{1} << 40));
    EXPECT_THAT(subjects[1].tokens, IsEmpty());
  }
}

TEST(Pickle, RefusesEveryTruncationWithItsOffset) {
  for (const char* hex : kByCPython) {
    const std::string bytes = FromHex(hex);
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_THAT(ErrorOf(bytes.substr(0, size)), HasSubstr(Cat("offset ", size))) << size;
    }
  }
}

TEST(Pickle, SurvivesAChangeOfAnyByte) {
  for (const char* hex : kByCPython) {
    const std::string bytes = FromHex(hex);
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int value = 0; value < 256; ++value) {
        std::string changed = bytes;
        changed[i] = static_cast<char>(value);
        const Status status = ReadAll(changed);
        ASSERT_TRUE(status.ok() || status.code() == absl::StatusCode::kInvalidArgument) << status;
      }
    }
  }
}

TEST(Pickle, RefusesGlobalsAndReducesByNameAndOffset) {
  // pickle.dumps([{'subject_id': complex(1, 2)}], protocol=2)
  const std::string bytes = FromHex(
      "80025d71007d7101580a0000007375626a6563745f69647102635f5f6275696c74696e5f5f0a636f6d706c65780a"
      "7103473ff00000000000"
      "0047400000000000000086710452710573612e");
  EXPECT_THAT(ErrorOf(bytes), HasSubstr("opcode GLOBAL at offset 25 is refused"));
  EXPECT_THAT(ErrorOf(std::string("\x80\x02]N)R.", 7)),
              HasSubstr("opcode REDUCE at offset 5 is refused"));
}

TEST(Pickle, ExecutesOrRefusesEveryOpcode) {
  int accepted = 0, refused = 0, unknown = 0;
  for (int code = 0; code < 256; ++code) {
    const PickleOp* op = FindPickleOp(static_cast<unsigned char>(code));
    if (op == nullptr) {
      ++unknown;
      EXPECT_THAT(ErrorOf(std::string("\x80\x04") + static_cast<char>(code)),
                  HasSubstr("no pickle opcode"));
      continue;
    }
    const std::string error = ErrorOf(std::string("\x80\x04") + static_cast<char>(code));
    const bool is_refused =
        error.find(Cat("opcode ", op->name, " at offset 2 is refused")) != std::string::npos;
    (is_refused ? refused : accepted)++;
    EXPECT_TRUE(is_refused || op->argument != PickleArgument::kRefused) << op->name;
  }
  EXPECT_EQ(accepted, 34);
  EXPECT_EQ(refused, 34);
  EXPECT_EQ(unknown, 188);
}

TEST(Pickle, HandsSubjectsOverOneByOne) {
  // The second subject is broken: the first has already been seen when the error comes.
  PickleWriter writer;
  writer.Op(']')
      .Op('(')
      .Subject({1, {3}, {0.0}})
      .Subject({2, {3, 4}, {0.0}})
      .Subject({3, {}, {}})
      .Op('e');
  std::vector<RawSubject> subjects;
  const Status status = ReadAll(writer.Done(), &subjects);
  EXPECT_THAT(MessageOf(status), HasSubstr("subject 1: has 2 tokens and 1 timestamps"));
  EXPECT_EQ(subjects.size(), 1u);
}

TEST(Pickle, ReadsDictsFilledItemByItemWithDictsInside) {
  PickleWriter writer;
  writer.Op(']').Op('(').Op('}').Text("subject_id").Int(5).Op('s').Text("extra").Op('}').Op('s');
  writer.Text("tokens")
      .Op(']')
      .Int(9)
      .Op('a')
      .Op('s')
      .Text("timestamps")
      .Op(']')
      .Float(2.0)
      .Op('a')
      .Op('s')
      .Op('e');
  std::vector<RawSubject> subjects;
  const Status status = ReadAll(writer.Done(), &subjects);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(subjects.size(), 1u);
  EXPECT_THAT(subjects[0].tokens, ElementsAre(9));
}

TEST(Pickle, ReadsAListThatIsUsedTwice) {
  // x = [1, 2]; [{'subject_id': 1, 'tokens': x, 'timestamps': x}]
  PickleWriter writer;
  writer.Op(']')
      .Op('}')
      .Op('(')
      .Text("subject_id")
      .Int(1)
      .Text("tokens")
      .Op(']')
      .Op('q')
      .Fixed(1, 1)
      .Op('(');
  writer.Int(1).Int(2).Op('e').Text("timestamps").Op('h').Fixed(1, 1).Op('u').Op('a');
  std::vector<RawSubject> subjects;
  const Status status = ReadAll(writer.Done(), &subjects);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(subjects.size(), 1u);
  EXPECT_THAT(subjects[0].times_us, ElementsAre(1'000'000, 2'000'000));
}

TEST(Pickle, RefusesAListThatHoldsItself) {
  EXPECT_THAT(ErrorOf(std::string("\x80\x02]q\x00]q\x01h\x01"
                                  "aa.",
                                  13)),
              HasSubstr("that nothing refers to yet"));
}

TEST(Pickle, RefusesToFillWhatTheMemoGaveBack) {
  // A list goes into another, then comes back from the memo and is appended to.
  EXPECT_THAT(ErrorOf(std::string("\x80\x02](](]q\x01"
                                  "eh\x01K\x01"
                                  "a.",
                                  16)),
              HasSubstr("that nothing refers to yet"));
}

TEST(Pickle, BoundsNesting) {
  std::string deep = "\x80\x02";
  for (int i = 0; i < 100'000; ++i) deep += ']';
  for (int i = 1; i < 100'000; ++i) deep += 'a';
  EXPECT_THAT(ErrorOf(deep + "."), HasSubstr("nested deeper"));
  EXPECT_THAT(ErrorOf("\x80\x02" + std::string(100'000, '(') + "."), HasSubstr("nested deeper"));
}

TEST(Pickle, RefusesASmallFileThatExpandsByItsMemo) {
  PickleWriter shared;
  shared.Op(']').Op('(');
  for (int subject = 0; subject < 1000; ++subject) {
    shared.Op('}').Op('(').Text("subject_id").Int(subject).Text("tokens");
    if (subject == 0) {
      shared.Op(']').Op('q').Fixed(1, 1).Op('(');
      for (int i = 0; i < 20'000; ++i) shared.Op('K').Fixed(1, 1);
      shared.Op('e');
    } else {
      shared.Op('h').Fixed(1, 1);
    }
    shared.Text("timestamps").Op('h').Fixed(1, 1).Op('u');
  }
  EXPECT_THAT(ErrorOf(shared.Op('e').Done()), HasSubstr("more than the file has bytes"));
}

TEST(Pickle, SaysWhatIsWrongWithAnItem) {
  EXPECT_THAT(ErrorOf(std::string("\x80\x02](K\x01"
                                  "e.",
                                  8)),
              HasSubstr("subject 0: expected a dict"));
  EXPECT_THAT(ErrorOf(std::string("\x80\x02}.", 4)),
              HasSubstr("expected one list as the whole pickle, found dict"));
  EXPECT_THAT(ErrorOf(std::string("\x80\x01].", 4)), HasSubstr("protocol 1, expected 2 to 5"));
  EXPECT_THAT(ErrorOf("(lp0\n."), HasSubstr("expected PROTO"));
  EXPECT_THAT(ErrorOf(std::string("\x80\x02].x", 5)), HasSubstr("after the end"));
  EXPECT_THAT(ErrorOf(PickleOf({{1, {2}, {std::nan("")}}})),
              HasSubstr("subject 0: timestamp 0: is NaN"));
  EXPECT_THAT(ErrorOf(PickleOf({{1, {2}, {1e300}}})), HasSubstr("timestamp 0"));
  PickleWriter floats;
  floats.Op(']')
      .Op('(')
      .Op('}')
      .Op('(')
      .Text("subject_id")
      .Int(1)
      .Text("tokens")
      .Op(']')
      .Op('(')
      .Float(1.0)
      .Op('e');
  floats.Text("timestamps").Op(']').Op('u').Op('e');
  EXPECT_THAT(ErrorOf(floats.Done()),
              HasSubstr("subject 0: token 0: expected an int, found float"));
}

TEST(Timestamps, RoundToMicrosecondsOnBothSidesOf1970) {
  int64_t micros = 0;
  ASSERT_TRUE(MicrosFromSeconds(1.0000004, &micros));
  EXPECT_EQ(micros, 1'000'000);
  ASSERT_TRUE(MicrosFromSeconds(-0.0000006, &micros));
  EXPECT_EQ(micros, -1);
  EXPECT_FALSE(MicrosFromSeconds(1.0000001e12, &micros));
}

}  // namespace
}  // namespace anamnesis::prep
