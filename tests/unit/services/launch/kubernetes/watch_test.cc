// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/watch.h"

#include <gtest/gtest.h>

namespace anamnesis::launch {
namespace {

std::string Item(const std::string& name, const std::string& uid, int version) {
  return Json{{"metadata", {{"name", name}, {"uid", uid}, {"resourceVersion", Cat(version)}}}}
      .dump();
}

std::string Page(const std::string& items, int version, const std::string& next = "") {
  return Cat(R"({"kind":"JobList","metadata":{"resourceVersion":")", version, R"(","continue":")",
             next, R"("},"items":[)", items, "]}");
}

std::string Line(const std::string& type, const std::string& object) {
  return Cat(R"({"type":")", type, R"(","object":)", object, "}\n");
}

// "+a" for a state, "-a" for a deletion.
std::string Told(ListWatch& machine) {
  std::string told;
  for (const ObjectChange& change : machine.TakeChanges()) {
    told += Cat(told.empty() ? "" : " ", change.deleted ? "-" : "+", change.name);
  }
  return told;
}

ListWatch Listed() {
  ListWatch machine("labelSelector=a%3Db");
  EXPECT_TRUE(machine.OnPage(Page(Item("a", "1", 5) + "," + Item("b", "2", 6), 9)).ok());
  EXPECT_EQ(Told(machine), "+a +b");
  return machine;
}

TEST(ListWatch, ListsInPagesThenWatchesFromTheListsVersion) {
  ListWatch machine("labelSelector=a%3Db");
  EXPECT_EQ(machine.Query(290), "labelSelector=a%3Db&limit=500");
  ASSERT_TRUE(machine.OnPage(Page(Item("a", "1", 5), 9, "to ken")).ok());
  EXPECT_FALSE(machine.synced());
  EXPECT_EQ(machine.Query(290), "labelSelector=a%3Db&limit=500&continue=to%20ken");
  ASSERT_TRUE(machine.OnPage(Page(Item("b", "2", 6), 9)).ok());
  EXPECT_TRUE(machine.synced());
  EXPECT_EQ(machine.Query(290),
            "labelSelector=a%3Db&watch=true&allowWatchBookmarks=true&timeoutSeconds=290"
            "&resourceVersion=9");
}

TEST(ListWatch, TellsWhatAWatchSaysWhateverTheSizeOfItsPieces) {
  ListWatch machine = Listed();
  const std::string lines = Line("ADDED", Item("c", "3", 10)) +
                            Line("DELETED", Item("a", "1", 11)) +
                            Line("BOOKMARK", Item("", "", 40));
  for (const char byte : lines) ASSERT_TRUE(machine.OnBytes(std::string(1, byte)).ok());
  EXPECT_EQ(Told(machine), "+c -a");
  EXPECT_EQ(machine.resource_version(), "40");
}

TEST(ListWatch, ANewListAfter410TellsWhatVanishedMeanwhile) {
  ListWatch machine = Listed();
  const std::string gone =
      R"({"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"})";
  EXPECT_EQ(machine.OnBytes(Line("ERROR", gone)).code(), absl::StatusCode::kAborted);
  EXPECT_FALSE(machine.watching());
  ASSERT_TRUE(machine.OnPage(Page(Item("b", "2", 50), 60)).ok());
  EXPECT_EQ(Told(machine), "+b -a");
}

TEST(ListWatch, TheSameNameWithAnotherUidIsADeletionAndANewObject) {
  ListWatch machine = Listed();
  ASSERT_TRUE(machine.OnBytes(Line("ADDED", Item("a", "99", 12))).ok());
  EXPECT_EQ(Told(machine), "-a +a");
}

TEST(ListWatch, AnErrorThatIsNotAboutTheVersionKeepsIt) {
  ListWatch machine = Listed();
  const Status status =
      machine.OnBytes(Line("ERROR", R"({"kind":"Status","code":500,"message":"etcd is slow"})"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(MessageOf(status).find("etcd is slow"), std::string::npos);
  EXPECT_TRUE(machine.watching());
}

TEST(ListWatch, RefusesWhatIsNoEventAndListsAnew) {
  for (const char* line : {"{\n", "[]\n", "null\n",
                           R"({"type":"ADDED"})"
                           "\n",
                           R"({"type":"NOVELTY","object":{"metadata":{"resourceVersion":"1"}}})"
                           "\n",
                           R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"1"}}})"
                           "\n"}) {
    ListWatch machine = Listed();
    EXPECT_EQ(machine.OnBytes(line).code(), absl::StatusCode::kDataLoss) << line;
    EXPECT_FALSE(machine.watching()) << line;
  }
}

TEST(ListWatch, ALineHasABound) {
  ListWatch machine = Listed();
  const std::string piece(1 << 20, 'x');
  Status status;
  for (int i = 0; i < 20 && status.ok(); ++i) status = machine.OnBytes(piece);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
}

TEST(ListWatch, AListThatIsNoneIsAskedForAnew) {
  for (const char* body : {"", "{}", R"({"items":7,"metadata":{"resourceVersion":"1"}})",
                           R"({"items":[{}],"metadata":{"resourceVersion":"1"}})"}) {
    ListWatch machine("");
    EXPECT_EQ(machine.OnPage(body).code(), absl::StatusCode::kDataLoss) << body;
    EXPECT_FALSE(machine.synced());
    EXPECT_EQ(machine.Query(1), "limit=500");
  }
}

}  // namespace
}  // namespace anamnesis::launch
