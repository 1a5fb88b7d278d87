// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/progress.h"

#include <cmath>
#include <filesystem>

namespace anamnesis::agent {
namespace {

std::string Rounded(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace

Progress::Progress(std::FILE* out, int64_t total_steps, int64_t logging_steps, int64_t num_ranks,
                   StepCounter* counter, absl::Duration (*since_start)())
    : out_(out), logging_steps_(logging_steps), counter_(counter), since_start_(since_start) {
  figures_.total_steps = total_steps;
  figures_.ranks.resize(static_cast<size_t>(num_ranks));
}

void Progress::OnStarted(int rank, const Json& message) {
  if (rank != 0) return;
  if (const auto why = message.find("bits_not_guaranteed");
      why != message.end() && why->is_string()) {
    figures_.bits_not_guaranteed = why->get<std::string>();
  }
  if (!figures_.bits_not_guaranteed.empty()) {
    std::fprintf(out_, "bits_not_guaranteed: %s\n", figures_.bits_not_guaranteed.c_str());
  }
  const auto notes = message.find("notes");
  if (notes == message.end() || !notes->is_array()) return;
  for (const Json& note : *notes) {
    if (note.is_string()) std::fprintf(out_, "note: %s\n", note.get<std::string>().c_str());
  }
}

void Progress::OnStep(int rank, const contract::StepReport& report) {
  RankFigures& own = figures_.ranks[static_cast<size_t>(rank)];
  own.tokens += report.tokens;
  own.cpu_seconds += report.cpu_seconds;
  ++own.steps;
  if (rank != 0) return;
  if (figures_.last_step == 0) {
    figures_.first_loss = report.loss;
    figures_.first_step_seconds = absl::ToDoubleSeconds(since_start_());
    std::fprintf(out_, "first step after %.1f s\n", figures_.first_step_seconds);
  }
  figures_.last_step = report.step;
  figures_.global_tokens += report.global_tokens;
  figures_.step_seconds += report.seconds;
  const Status counted = counter_->Add(report.step);
  if (!counted.ok()) std::fprintf(out_, "warning: %s\n", MessageOf(counted).c_str());
  window_loss_ += report.loss;
  window_seconds_ += report.seconds;
  window_tokens_ += report.global_tokens;
  ++window_steps_;
  if (report.step % logging_steps_ == 0 || report.step == figures_.total_steps) LogWindow(report);
}

void Progress::LogWindow(const contract::StepReport& report) {
  figures_.last_loss = window_loss_ / static_cast<double>(window_steps_);
  const double rate =
      window_seconds_ > 0 ? static_cast<double>(window_tokens_) / window_seconds_ : 0;
  const double left = window_seconds_ / static_cast<double>(window_steps_) *
                      static_cast<double>(figures_.total_steps - report.step);
  std::fprintf(out_, "step %lld/%lld  loss %.4f  lr %.3g  %.0f tokens/s  eta %s\n",
               static_cast<long long>(report.step), static_cast<long long>(figures_.total_steps),
               figures_.last_loss, report.learning_rate, rate, ClockText(left).c_str());
  window_loss_ = window_seconds_ = 0;
  window_steps_ = window_tokens_ = 0;
}

void Progress::OnEval(int rank, const contract::EvalReport& report) {
  if (rank != 0) return;
  if (!figures_.first_tuning_loss.has_value()) figures_.first_tuning_loss = report.loss;
  figures_.tuning_loss = report.loss;
  // What a loss means to people: of a language model its perplexity, of a classifier its ranking.
  std::string figure = report.metrics.empty()
                           ? Cat("  perplexity ", Rounded(std::exp(report.loss), 2))
                           : std::string();
  for (const char* name : {"auroc", "accuracy"}) {
    const auto metric = report.metrics.find(name);
    if (metric != report.metrics.end()) figure += Cat("  ", name, " ", Rounded(metric->second, 3));
  }
  std::fprintf(out_, "step %lld/%lld  loss on tuning %.4f%s  %lld labels in %.1f s\n",
               static_cast<long long>(report.step), static_cast<long long>(figures_.total_steps),
               report.loss, figure.c_str(), static_cast<long long>(report.labels), report.seconds);
}

std::optional<gang::CommitAnswer> Progress::OnCommit(int, const gang::CommitRequest&) {
  return gang::CommitAnswer{};  // this process holds the folder's lock, so no other attempt can be
                                // writing
}

void Progress::OnSaved(int rank, int64_t step, const std::string& path, double) {
  if (rank != 0) return;
  const std::string name = std::filesystem::path(path).filename().string();
  std::fprintf(out_, "step %lld/%lld  saved %s\n", static_cast<long long>(step),
               static_cast<long long>(figures_.total_steps), name.c_str());
}

void Progress::OnStopping() {
  std::fprintf(out_,
               "stopping: the ranks finish their step and save; a second Ctrl-C kills them\n");
}

std::string ClockText(double seconds) {
  const auto total = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  char text[64];
  if (total >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", total / 3600, total / 60 % 60,
                  total % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", total / 60, total % 60);
  }
  return text;
}

}  // namespace anamnesis::agent
