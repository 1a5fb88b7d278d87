// SPDX-License-Identifier: Apache-2.0
// What a scrape sees.
#include "services/coordinator/telemetry.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <regex>
#include <set>
#include <sstream>

#include "common/io/file.h"

namespace anamnesis::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Get(const std::string& address, const std::string& path) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&peer), sizeof peer) != 0) return "";
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  if (::write(socket.get(), request.data(), request.size()) < 0) return "";
  std::string answer;
  char piece[4096];
  for (ssize_t size; (size = ::read(socket.get(), piece, sizeof piece)) > 0;) {
    answer.append(piece, static_cast<size_t>(size));
  }
  return answer;
}

class TelemetryTest : public ::testing::Test {
 protected:
  void Publish(int64_t id, core::JobState state) {
    auto job = std::make_shared<core::Job>();
    job->id = core::JobId{id};
    job->state = state;
    job->progress.loss = 2.5;
    job->progress.step = 7;
    job->attempts.push_back({.epoch = 1, .slots = {0}, .holds_slots = !core::IsTerminal(state)});
    board_.Publish(std::move(job));
  }

  // One event of each kind.
  void Tell() {
    telemetry_.OnTransition({.from = core::JobState::kRunning,
                             .to = core::JobState::kRecovering,
                             .reason = core::Reason::kRankFailed});
    telemetry_.OnReport(
        {.job = core::JobId{17}, .what = core::StepReported{.tokens = 64, .seconds = 0.5}}, true);
    telemetry_.OnReport({.job = core::JobId{17}, .what = core::SavedReported{.seconds = 0.25}},
                        true);
    telemetry_.OnCommit(absl::Milliseconds(2));
    telemetry_.OnStoreFailure();
  }

  Board board_;
  Telemetry telemetry_{board_, 4, "1.2.3"};
};

TEST_F(TelemetryTest, CountsWhatHappened) {
  Tell();
  telemetry_.OnReport({.what = core::StepReported{.tokens = 64, .seconds = 0.5}}, /*is_new=*/false);
  const std::string text = telemetry_.Text();
  EXPECT_THAT(text,
              HasSubstr(R"(anamnesis_job_transitions_total{from="running",to="recovering"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(anamnesis_job_restarts_total{reason="rank_failed"} 1)"));
  EXPECT_THAT(text, HasSubstr("anamnesis_train_steps_executed_total 1"));
  EXPECT_THAT(text, HasSubstr("anamnesis_train_tokens_total 64"));
  EXPECT_THAT(text, HasSubstr("anamnesis_train_step_seconds_count 1"));
  EXPECT_THAT(text, HasSubstr("anamnesis_checkpoint_write_seconds_sum 0.25"));
  EXPECT_THAT(text, HasSubstr("anamnesis_store_commit_seconds_count 1"));
  EXPECT_THAT(text, HasSubstr("anamnesis_store_failures_total 1"));
  EXPECT_THAT(text, HasSubstr(R"(anamnesis_build_info{version="1.2.3"} 1)"));
}

TEST_F(TelemetryTest, ShowsJobsAndSlotsAsTheBoardHasThem) {
  Publish(17, core::JobState::kRunning);
  Publish(18, core::JobState::kQueued);
  const std::string text = telemetry_.Text();
  EXPECT_THAT(text, HasSubstr(R"(anamnesis_jobs{state="running"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(anamnesis_jobs{state="failed"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(anamnesis_slots{use="held"} 2)"));
  EXPECT_THAT(text, HasSubstr(R"(anamnesis_slots{use="free"} 2)"));
  EXPECT_THAT(text, HasSubstr(R"(anamnesis_train_loss{job="17"} 2.5)"));
  EXPECT_THAT(text, HasSubstr(R"(anamnesis_train_step{job="17"} 7)"));
}

TEST_F(TelemetryTest, AJobsSeriesEndWithIt) {
  Publish(17, core::JobState::kRunning);
  Publish(17, core::JobState::kSucceeded);
  EXPECT_THAT(telemetry_.Text(), Not(HasSubstr(R"(job="17")")));
}

TEST_F(TelemetryTest, NamesAndLabelsKeepTheRules) {
  Publish(17, core::JobState::kRunning);
  Tell();
  std::istringstream lines(telemetry_.Text());
  const std::set<std::string> labels = {"from", "to",  "reason",  "state",
                                        "use",  "job", "version", "le"};
  const std::regex type("# TYPE ([a-z_]+) (counter|gauge|histogram)");
  const std::regex label("([a-z_]+)=\"");
  int families = 0;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, type)) {
      ++families;
      EXPECT_TRUE(match[1].str().starts_with("anamnesis_")) << line;
      EXPECT_EQ(match[1].str().ends_with("_total"), match[2] == "counter") << line;
      EXPECT_TRUE(match[2] != "histogram" || match[1].str().ends_with("_seconds")) << line;
    } else if (line.starts_with("anamnesis_")) {
      for (auto found = std::sregex_iterator(line.begin(), line.end(), label);
           found != std::sregex_iterator(); ++found) {
        EXPECT_TRUE(labels.contains((*found)[1])) << line;
      }
    }
  }
  EXPECT_GE(families, 18);
}

TEST_F(TelemetryTest, IsServedOnAFreePortAndATakenOneIsNamed) {
  const StatusOr<std::string> address = telemetry_.Serve("127.0.0.1:0");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_THAT(Get(*address, "/metrics"), HasSubstr("anamnesis_build_info"));
  Telemetry second(board_, 1, "1");
  const Status status = second.Serve(*address).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr(*address));
}

}  // namespace
}  // namespace anamnesis::coordinator
