// SPDX-License-Identifier: Apache-2.0
#include "services/cli/progress_line.h"

#include <algorithm>

#include "anamnesis/v1/job.pb.h"
#include "common/base/status.h"
#include "services/cli/job_view.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

std::string Bar(int64_t step, int64_t total, size_t width, bool ascii) {
  const size_t filled = static_cast<size_t>(std::clamp(
      static_cast<double>(step) / static_cast<double>(total) * static_cast<double>(width), 0.0,
      static_cast<double>(width)));
  std::string bar = ascii ? "[" : "▕";
  for (size_t i = 0; i < width; ++i) {
    if (ascii) {
      bar += i < filled ? '#' : '.';
    } else {
      bar += i < filled ? "█" : "░";
    }
  }
  return bar + (ascii ? "]" : "▏");
}

// What is worth a plain line at once when it changes.
std::string StageOf(const v1::Job& job) {
  return Cat(job.state(), "/", job.attempts_size(), "/", job.progress().phase());
}

}  // namespace

std::string ProgressLine(const v1::Job& job, size_t bar_width, bool ascii) {
  const v1::Progress& progress = job.progress();
  std::string line = Cat(job.name(), " ", StateName(job.state()));
  const bool ended = HasEnded(job.state());
  if (!ended && !progress.phase().empty()) line += Cat("  ", PhaseText(progress));
  if (job.attempts_size() > 1) line += Cat("  attempt ", job.attempts_size());
  if (progress.total_steps() > 0) {
    if (bar_width > 0) {
      line += "  " + Bar(progress.step(), progress.total_steps(), bar_width, ascii);
    }
    line += Cat("  step ", progress.step(), "/", progress.total_steps());
  }
  if (const auto loss = job.metrics().find("loss"); loss != job.metrics().end()) {
    line += Cat("  loss ", NumberText(loss->second));
  }
  if (!ended && progress.tokens_per_second() > 0) {
    line += Cat("  ", GroupedText(static_cast<int64_t>(progress.tokens_per_second())), " tokens/s");
  }
  if (!ended && progress.has_eta_seconds()) {
    line += Cat("  eta ", ClockText(progress.eta_seconds()));
  }
  const bool explain = job.state() == v1::JOB_STATE_QUEUED ||
                       job.state() == v1::JOB_STATE_RECOVERING || (ended && !job.message().empty());
  if (explain && !job.message().empty()) line += Cat("  ", Printable(job.message()));
  return line;
}

std::string SummaryLine(const std::map<std::string, v1::Job>& jobs) {
  std::map<int, int> by_state;
  int64_t step = 0, total = 0;
  for (const auto& [name, job] : jobs) {
    ++by_state[job.state()];
    step += job.progress().step();
    total += job.progress().total_steps();
  }
  std::string line = Cat(jobs.size(), " jobs:");
  const char* separator = " ";
  for (const auto& [state, count] : by_state) {
    line += Cat(separator, count, " ", StateName(state));
    separator = ", ";
  }
  return total > 0 ? Cat(line, "  step ", step, "/", total) : line;
}

void ProgressDisplay::Update(const std::map<std::string, v1::Job>& jobs, const std::string& changed,
                             absl::Time now) {
  if (options_.quiet || jobs.empty()) return;
  if (options_.draw) {
    const size_t columns = options_.columns ? options_.columns() : 80;
    const size_t bar = columns >= 120 ? 20 : columns >= 100 ? 10 : 0;
    const std::string line = jobs.size() == 1
                                 ? ProgressLine(jobs.begin()->second, bar, options_.ascii)
                                 : SummaryLine(jobs);
    return Draw(FitWidth(line, std::max<size_t>(columns, 20) - 1));
  }
  const auto job = jobs.find(changed);
  if (job == jobs.end()) return;
  Shown& shown = shown_[changed];
  const std::string stage = StageOf(job->second);
  if (stage == shown.stage && now - shown.time < options_.pause) return;
  const std::string line = ProgressLine(job->second, 0, options_.ascii);
  if (line != shown.line) out_ << line << std::endl;
  shown = {stage, now, line};
}

void ProgressDisplay::Print(const std::string& line) {
  if (options_.quiet) return;
  if (drawn_.empty()) {
    out_ << line << std::endl;
    return;
  }
  out_ << "\r\033[K" << line << "\n" << drawn_ << std::flush;
}

void ProgressDisplay::Draw(const std::string& line) {
  if (line == drawn_) return;
  out_ << "\r\033[K" << line << std::flush;
  drawn_ = line;
}

void ProgressDisplay::Close() {
  if (!drawn_.empty()) out_ << std::endl;
  drawn_.clear();
}

}  // namespace anamnesis::cli
