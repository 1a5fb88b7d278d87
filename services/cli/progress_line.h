// SPDX-License-Identifier: Apache-2.0
// The course of followed jobs, shown on standard error: on a terminal one line that is drawn anew,
// elsewhere a plain line for each change of state and every few seconds of steps.
// Thread-compatible.
#pragma once

#include <functional>
#include <map>
#include <ostream>
#include <string>

#include "absl/time/time.h"

namespace anamnesis::v1 {
class Job;
}

namespace anamnesis::cli {

// "jobs/17 running  training  step 12/400  loss 2.3411  1,234 tokens/s  eta 4:05". With
// `bar_width` above 0 a bar stands before the steps.
std::string ProgressLine(const v1::Job& job, size_t bar_width, bool ascii);

// "3 jobs: 1 running, 2 queued  step 30/1200" for several jobs.
std::string SummaryLine(const std::map<std::string, v1::Job>& jobs);

struct DisplayOptions {
  bool draw = false;                        // the stream is a terminal
  bool ascii = false;                       // no Unicode
  bool quiet = false;                       // shows nothing
  std::function<size_t()> columns = {};     // of the terminal now; may be empty
  absl::Duration pause = absl::Seconds(5);  // between plain lines about steps alone
};

class ProgressDisplay {
 public:
  ProgressDisplay(std::ostream& out, DisplayOptions options)
      : out_(out), options_(std::move(options)) {}
  ~ProgressDisplay() { Close(); }
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  // `changed` is the job's name, "" when only time has passed.
  void Update(const std::map<std::string, v1::Job>& jobs, const std::string& changed,
              absl::Time now);
  // A line of its own, above the one that is drawn.
  void Print(const std::string& line);
  // Leaves the drawn line as it is; what follows begins on a new one.
  void Close();

 private:
  void Draw(const std::string& line);

  std::ostream& out_;
  DisplayOptions options_;
  std::string drawn_;
  struct Shown {
    std::string stage;  // state, attempt and phase
    absl::Time time;
    std::string line;
  };
  std::map<std::string, Shown> shown_;
};

}  // namespace anamnesis::cli
