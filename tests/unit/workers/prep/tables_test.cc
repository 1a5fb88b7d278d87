// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/tables.h"

#include "common/base/civil.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/prep/csv.h"

namespace anamnesis::prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Csv, ReadsBomCrlfAndQuotedFields) {
  const std::string text =
      "\xEF\xBB\xBF"
      "code,term\r\nA,\"with, comma\"\r\n\r\nB,\"with \"\"quotes\"\"\nand a line\"\r\nC,5\" "
      "tube\r\nD,";
  StatusOr<CsvTable> table = CsvTable::Parse(text, "t.csv");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(*table->Column("code"), 0u);
  std::vector<std::string> fields;
  ASSERT_TRUE(*table->Next(&fields));
  EXPECT_THAT(fields, ElementsAre("A", "with, comma"));
  ASSERT_TRUE(*table->Next(&fields));
  EXPECT_THAT(fields, ElementsAre("B", "with \"quotes\"\nand a line"));
  ASSERT_TRUE(*table->Next(&fields));
  EXPECT_THAT(fields, ElementsAre("C", "5\" tube"));
  ASSERT_TRUE(*table->Next(&fields));
  EXPECT_THAT(fields, ElementsAre("D", ""));
  EXPECT_FALSE(*table->Next(&fields));
}

TEST(Csv, NamesTheRowOfAnError) {
  struct Case {
    const char* text;
    const char* expected;
  };
  for (const Case& bad : {Case{"a,b\n1,2\n3\n", "t.csv: row 3: has 1 fields, expected 2"},
                          Case{"a,b\n1,\"2\n", "t.csv: row 2: a quoted field is not closed"},
                          Case{"a,b\n1,\"2\"x\n", "t.csv: row 2: expected a comma"},
                          Case{"a,b\n1,\xff\n", "t.csv: row 2: field 2 is not UTF-8"}}) {
    StatusOr<CsvTable> table = CsvTable::Parse(bad.text, "t.csv");
    ASSERT_TRUE(table.ok());
    std::vector<std::string> fields;
    StatusOr<bool> row = true;
    while (row.ok() && *row) row = table->Next(&fields);
    EXPECT_THAT(MessageOf(row.status()), HasSubstr(bad.expected));
  }
  EXPECT_THAT(MessageOf(CsvTable::Parse("", "t.csv").status()), HasSubstr("is empty"));
}

TEST(Vocabulary, KeepsStringsThatLookLikeOtherThings) {
  const StatusOr<Vocabulary> vocabulary =
      Vocabulary::Parse("token,str,count\n0,nan,1\n7,5.50,2\n3,None,\n", "v");
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->entries()[*vocabulary->Find(0)].token, "nan");
  EXPECT_EQ(vocabulary->entries()[*vocabulary->Find(7)].token, "5.50");
  EXPECT_EQ(vocabulary->entries()[*vocabulary->Find(3)].token, "None");
  EXPECT_FALSE(vocabulary->Find(1).has_value());
  EXPECT_FALSE(vocabulary->Find(-1).has_value());
  EXPECT_FALSE(vocabulary->Find(1'000'000'000'000).has_value());
}

TEST(Vocabulary, RefusesIdsThatAreNoIdsOrThereTwice) {
  for (const char* rows : {"x,a,1", "-1,a,1", "1.5,a,1", ",a,1", "99999999999,a,1"}) {
    const Status status = Vocabulary::Parse(Cat("token,str,count\n", rows, "\n"), "v.csv").status();
    EXPECT_THAT(MessageOf(status), HasSubstr("v.csv: row 2: token")) << rows;
  }
  EXPECT_THAT(MessageOf(Vocabulary::Parse("token,str\n1,a\n1,b\n", "v.csv").status()),
              HasSubstr("row 3: token: id 1 is there twice"));
  EXPECT_THAT(MessageOf(Vocabulary::Parse("id,str\n1,a\n", "v.csv").status()),
              HasSubstr("has no column token"));
}

TEST(Labels, ReadsDatesSitesAndMissingValues) {
  const StatusOr<Labels> labels = Labels::Parse(
      "subject_id,is_case,site,cancerdate\n5,1,stomach,2019-03-04 13:00:00\n2,0,,\n9,1,lung,not a "
      "date\n8,1,lung,NaT\n"
      "2,0,,\n1,1,lung,1960-02-29\n",
      "l");
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_THAT(labels->sites(), ElementsAre("lung", "stomach"));
  EXPECT_EQ(labels->Find(5)->site, 2u);
  EXPECT_EQ(labels->Find(5)->cancer_time_us(), MicrosFromCivil(2019, 3, 4));
  EXPECT_EQ(labels->Find(1)->cancer_time_us(), MicrosFromCivil(1960, 2, 29));
  EXPECT_TRUE(labels->Find(9)->bad_cancer_date);
  EXPECT_FALSE(labels->Find(8)->bad_cancer_date);
  EXPECT_FALSE(labels->Find(8)->cancer_time_us().has_value());
  EXPECT_FALSE(labels->Find(2)->is_case);
  EXPECT_EQ(labels->Find(3), nullptr);
}

TEST(Labels, RefusesContradictionsAndWrongValues) {
  const std::string header = "subject_id,is_case,site,cancerdate\n";
  EXPECT_THAT(MessageOf(Labels::Parse(header + "1,2,,\n", "l.csv").status()),
              HasSubstr("l.csv: row 2: is_case"));
  EXPECT_THAT(MessageOf(Labels::Parse(header + "1,,,\n", "l.csv").status()),
              HasSubstr("is_case: expected 0 or 1"));
  EXPECT_THAT(MessageOf(Labels::Parse(header + "x,1,,\n", "l.csv").status()),
              HasSubstr("row 2: subject_id"));
  EXPECT_THAT(
      MessageOf(Labels::Parse(header + "1,0,,\n2,0,,\n1,1,,2020-01-01\n", "l.csv").status()),
      HasSubstr("l.csv: labels subject 1 twice and differently"));
}

TEST(Lookup, IsCaseSensitiveFirstAndFoldsOnlyWhereUnambiguous) {
  const StatusOr<Lookup> lookup = Lookup::Parse(
      "code,term\n679J.00,asthma education\n679j.00,medication "
      "education\nGLUCOSE,Glucose\nab,same\nAB,same\nX,\n"
      "dup,first\ndup,second\n",
      "l", "code", "term");
  ASSERT_TRUE(lookup.ok()) << lookup.status();
  EXPECT_EQ(*lookup->Find("679J.00"), "asthma education");
  EXPECT_EQ(*lookup->Find("679j.00"), "medication education");
  EXPECT_EQ(*lookup->Find("glucose"), "Glucose");
  EXPECT_EQ(*lookup->Find("aB"), "same");
  EXPECT_EQ(*lookup->Find("dup"), "second");
  EXPECT_EQ(lookup->Find("X"), nullptr);
  EXPECT_EQ(lookup->num_fold_collisions(), 1u);
  EXPECT_EQ(lookup->num_conflicting_rows(), 1u);
  EXPECT_EQ(lookup->num_empty_terms(), 1u);
  const StatusOr<Lookup> both = Lookup::Parse("code,term\nxY,1\nXy,2\n", "l", "code", "term");
  EXPECT_EQ(both->Find("xy"), nullptr);
}

}  // namespace
}  // namespace anamnesis::prep
