// SPDX-License-Identifier: Apache-2.0
// metrics: what a job's steps and evaluations measured, as a table, a live curve or JSON lines.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "absl/time/clock.h"
#include "anamnesis/v1/job_service.pb.h"
#include "services/cli/commands.h"
#include "services/cli/follow.h"
#include "services/cli/interrupt.h"
#include "services/cli/job_view.h"
#include "services/cli/metric_text.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

struct MetricsFlags {
  CommonFlags common;
  std::string job;
  Words names;
  bool follow = false;
};

// Draws the picture over the one before, at most four times a second.
class LivePicture {
 public:
  LivePicture(std::string title, Words names)
      : title_(std::move(title)), curves_(std::move(names)), ascii_(AsciiOnly()) {}

  void Add(const v1::MetricPoint& point) {
    curves_.Add(point);
    changed_ = true;
  }
  void DrawIfDue() {
    const absl::Time now = absl::Now();
    const size_t columns = TerminalColumns(STDOUT_FILENO), rows = TerminalRows(STDOUT_FILENO);
    const bool resized = columns != columns_ || rows != rows_;
    if ((changed_ && now - drawn_ >= absl::Milliseconds(250)) || resized) Draw(columns, rows, now);
  }
  void DrawLast() {
    if (changed_) Draw(TerminalColumns(STDOUT_FILENO), TerminalRows(STDOUT_FILENO), absl::Now());
  }

 private:
  void Draw(size_t columns, size_t rows, absl::Time now) {
    const size_t height = std::clamp<size_t>(rows, 7, 26) - 2;
    // A line may not reach the last column: some terminals would break it.
    const auto lines = curves_.Picture(title_, std::max<size_t>(columns, 25) - 1, height, ascii_);
    std::string text;
    if (height_ > 0) text += Cat("\033[", height_, "A");
    text += "\r\033[J";
    for (const std::string& line : lines) text += line + "\n";
    std::cout << text << std::flush;
    height_ = lines.size();
    columns_ = columns;
    rows_ = rows;
    drawn_ = now;
    changed_ = false;
  }

  std::string title_;
  MetricCurves curves_;
  bool ascii_;
  bool changed_ = true;
  absl::Time drawn_ = absl::InfinitePast();
  size_t height_ = 0, columns_ = 0, rows_ = 0;
};

std::optional<int> Parse(const Words& words, MetricsFlags& flags) {
  CLI::App app(
      "Print what the steps and evaluations of a job measured. With -f on a terminal: a curve of "
      "the loss, drawn live.\n\nExample: anamnesis metrics jobs/17 -f\n"
      "         anamnesis metrics jobs/17 --name loss --name grad_norm -o json",
      "anamnesis metrics");
  CheckJob(app.add_option("job", flags.job, "jobs/17 or 17")->required());
  app.add_flag("-f,--follow", flags.follow, "Go on until the job has ended");
  app.add_option("--name", flags.names,
                 "loss, learning_rate, grad_norm, tokens_per_second, tuning_loss, ...; may be "
                 "repeated")
      ->allow_extra_args(false);
  AddCoordinatorFlag(app, flags.common);
  app.add_option("-o,--output", flags.common.output, "table or json (a line for each point)")
      ->check(CLI::IsMember({"table", "json"}));
  return ParseWords(app, words);
}

Status Stream(Client& client, const MetricsFlags& flags, const v1::StreamMetricsRequest& request) {
  const auto go_on = [] { return !Interrupted() && std::cout.good(); };
  if (flags.common.form() == Form::kJson) {
    const auto print = [&](const v1::MetricPoint& point) {
      if (flags.names.empty() || HasAny(point, flags.names)) {
        std::cout << JsonLine(MetricPointJson(point)) << std::endl;
      }
      return std::cout.good();
    };
    return client.StreamMetrics(request, print, go_on);
  }
  if (flags.follow && MayDraw(STDOUT_FILENO)) {
    LivePicture picture(request.name(), flags.names);
    const auto add = [&](const v1::MetricPoint& point) {
      picture.Add(point);
      return true;
    };
    const auto draw = [&] {
      picture.DrawIfDue();
      return go_on();
    };
    const Status status = client.StreamMetrics(request, add, draw);
    picture.DrawLast();
    return status;
  }
  const Words& names = flags.names.empty() ? DefaultMetrics() : flags.names;
  std::cout << MetricHead(names) << std::endl;
  const auto print = [&](const v1::MetricPoint& point) {
    if (HasAny(point, names)) std::cout << MetricLine(point, names) << "\n";
    if (flags.follow) std::cout << std::flush;
    return std::cout.good();
  };
  const Status status = client.StreamMetrics(request, print, go_on);
  std::cout << std::flush;
  return status;
}

}  // namespace

int RunMetrics(const Words& words) {
  MetricsFlags flags;
  if (const auto exit_code = Parse(words, flags)) return *exit_code;
  const auto client = OpenClient(flags.common);
  if (!client.ok()) return FailWith(client.status());
  v1::StreamMetricsRequest request;
  request.set_name(*JobName(flags.job));
  request.set_follow(flags.follow);
  const auto job = (*client)->GetJob(request.name(), false);
  if (!job.ok()) return FailRemote(job.status());
  WatchForInterrupt();
  const Status status = Stream(**client, flags, request);
  if (Interrupted()) return SayInterrupted({request.name()}, flags.common, "wait");
  return status.ok() ? 0 : FailRemote(status);
}

}  // namespace anamnesis::cli
