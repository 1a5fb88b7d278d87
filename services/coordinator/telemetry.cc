// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/telemetry.h"

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <exception>

namespace anamnesis::coordinator {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;

const prometheus::Histogram::BucketBoundaries kStepSeconds = {0.01, 0.03, 0.1, 0.3, 1,
                                                              3,    10,   30,  100, 300};
const prometheus::Histogram::BucketBoundaries kCommitSeconds = {0.0003, 0.001, 0.003, 0.01,
                                                                0.03,   0.1,   0.3,   1};

// What can be read off the board at the moment of a scrape.
class BoardMetrics : public prometheus::Collectable {
 public:
  BoardMetrics(const Board& board, int64_t num_slots) : board_(board), num_slots_(num_slots) {}

  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> families;
    const std::vector<JobSnapshot> jobs = board_.All();
    families.push_back(JobsByState(jobs));
    families.push_back(Slots(jobs));
    const auto live = [&](const char* name, const char* help, auto value) {
      MetricFamily family = Family(name, help);
      for (const JobSnapshot& job : jobs) {
        if (core::IsTerminal(job->state)) continue;  // a job's series end with it
        const std::optional<double> number = value(*job);
        if (number) Add(&family, *number, {{"job", std::to_string(static_cast<int64_t>(job->id))}});
      }
      families.push_back(std::move(family));
    };
    live("anamnesis_train_loss", "Loss of the last step, nats a label",
         [](const core::Job& job) { return job.progress.loss; });
    live("anamnesis_train_tuning_loss", "Loss of the last evaluation on tuning, nats a label",
         [](const core::Job& job) { return job.progress.tuning_loss; });
    live("anamnesis_train_grad_norm", "Norm of the last step's gradient before clipping",
         [](const core::Job& job) { return job.progress.grad_norm; });
    live("anamnesis_train_learning_rate", "Learning rate of the last step",
         [](const core::Job& job) { return job.progress.learning_rate; });
    live("anamnesis_train_step", "Last step of the job",
         [](const core::Job& job) { return Count(job.progress.step); });
    live("anamnesis_train_steps", "Steps that the job will make",
         [](const core::Job& job) { return Count(job.progress.total_steps); });
    live(
        "anamnesis_train_tokens_per_second", "Tokens trained a second, all ranks",
        [](const core::Job& job) { return std::optional<double>(job.progress.tokens_per_second); });
    live("anamnesis_checkpoint_last_success_timestamp_seconds", "When a checkpoint was committed",
         [](const core::Job& job) -> std::optional<double> {
           if (!job.latest_checkpoint) return std::nullopt;
           return absl::ToDoubleSeconds(job.latest_checkpoint->commit_time - absl::UnixEpoch());
         });
    return families;
  }

 private:
  static std::optional<double> Count(int64_t count) { return static_cast<double>(count); }

  static MetricFamily Family(const char* name, const char* help) {
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = MetricType::Gauge;
    return family;
  }

  static void Add(MetricFamily* family, double value, Labels labels) {
    ClientMetric metric;
    metric.gauge.value = value;
    metric.label = std::move(labels);
    family->metric.push_back(std::move(metric));
  }

  static MetricFamily JobsByState(const std::vector<JobSnapshot>& jobs) {
    MetricFamily family = Family("anamnesis_jobs", "Jobs by state");
    for (int state = 0; state <= static_cast<int>(core::JobState::kRejected); ++state) {
      const auto wanted = static_cast<core::JobState>(state);
      double count = 0;
      for (const JobSnapshot& job : jobs) count += job->state == wanted ? 1 : 0;
      Add(&family, count, {{"state", core::NameOf(wanted)}});
    }
    return family;
  }

  MetricFamily Slots(const std::vector<JobSnapshot>& jobs) const {
    double held = 0;
    for (const JobSnapshot& job : jobs) {
      for (const core::Attempt& attempt : job->attempts) {
        if (attempt.holds_slots) held += static_cast<double>(attempt.slots.size());
      }
    }
    MetricFamily family = Family("anamnesis_slots", "Slots of the machine by use");
    Add(&family, held, {{"use", "held"}});
    Add(&family, static_cast<double>(num_slots_) - held, {{"use", "free"}});
    return family;
  }

  const Board& board_;
  const int64_t num_slots_;
};

}  // namespace

struct Telemetry::Series {
  Series(const Board& board, int64_t num_slots, const std::string& version)
      : board_metrics(std::make_shared<BoardMetrics>(board, num_slots)),
        transitions(BuildCounter()
                        .Name("anamnesis_job_transitions_total")
                        .Help("Changes of jobs' states")
                        .Register(*registry)),
        restarts(BuildCounter()
                     .Name("anamnesis_job_restarts_total")
                     .Help("Attempts that failed and were followed by another, by reason")
                     .Register(*registry)),
        steps(BuildCounter()
                  .Name("anamnesis_train_steps_executed_total")
                  .Help("Steps executed, lost ones included")
                  .Register(*registry)
                  .Add({})),
        tokens(BuildCounter()
                   .Name("anamnesis_train_tokens_total")
                   .Help("Tokens trained, all ranks")
                   .Register(*registry)
                   .Add({})),
        step_seconds(BuildHistogram()
                         .Name("anamnesis_train_step_seconds")
                         .Help("Wall time of steps, evaluation and saving apart")
                         .Register(*registry)
                         .Add({}, kStepSeconds)),
        checkpoint_seconds(BuildHistogram()
                               .Name("anamnesis_checkpoint_write_seconds")
                               .Help("Time to write a checkpoint, its commit included")
                               .Register(*registry)
                               .Add({}, kStepSeconds)),
        store_seconds(BuildHistogram()
                          .Name("anamnesis_store_commit_seconds")
                          .Help("Time of a durable transaction of the coordinator's store")
                          .Register(*registry)
                          .Add({}, kCommitSeconds)),
        store_failures(BuildCounter()
                           .Name("anamnesis_store_failures_total")
                           .Help("Transactions that could not be made durable")
                           .Register(*registry)
                           .Add({})) {
    BuildGauge()
        .Name("anamnesis_build_info")
        .Help("Always 1; the version is a label")
        .Register(*registry)
        .Add({{"version", version}})
        .Set(1);
  }

  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::shared_ptr<BoardMetrics> board_metrics;
  prometheus::Family<prometheus::Counter>& transitions;
  prometheus::Family<prometheus::Counter>& restarts;
  prometheus::Counter& steps;
  prometheus::Counter& tokens;
  prometheus::Histogram& step_seconds;
  prometheus::Histogram& checkpoint_seconds;
  prometheus::Histogram& store_seconds;
  prometheus::Counter& store_failures;
};

Telemetry::Telemetry(const Board& board, int64_t num_slots, const std::string& version)
    : series_(std::make_unique<Series>(board, num_slots, version)) {}
Telemetry::~Telemetry() = default;

void Telemetry::OnTransition(const core::Transition& transition) {
  if (transition.from == transition.to) return;  // a submission
  series_->transitions
      .Add({{"from", core::NameOf(transition.from)}, {"to", core::NameOf(transition.to)}})
      .Increment();
  if (transition.to == core::JobState::kRecovering) {
    series_->restarts.Add({{"reason", core::NameOf(transition.reason)}}).Increment();
  }
}

void Telemetry::OnReport(const core::Reported& report, bool is_new) {
  if (!is_new) return;
  if (const auto* step = std::get_if<core::StepReported>(&report.what)) {
    series_->steps.Increment();
    series_->tokens.Increment(static_cast<double>(step->tokens));
    series_->step_seconds.Observe(step->seconds);
  } else if (const auto* saved = std::get_if<core::SavedReported>(&report.what)) {
    series_->checkpoint_seconds.Observe(saved->seconds);
  }
}

void Telemetry::OnCommit(absl::Duration duration) {
  series_->store_seconds.Observe(absl::ToDoubleSeconds(duration));
}

void Telemetry::OnStoreFailure() { series_->store_failures.Increment(); }

std::string Telemetry::Text() const {
  std::vector<MetricFamily> families = series_->registry->Collect();
  for (MetricFamily& family : series_->board_metrics->Collect()) {
    families.push_back(std::move(family));
  }
  return prometheus::TextSerializer().Serialize(families);
}

StatusOr<std::string> Telemetry::Serve(const std::string& address) {
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(address, 1);
    exposer_->RegisterCollectable(series_->registry);
    exposer_->RegisterCollectable(series_->board_metrics);
    const std::vector<int> ports = exposer_->GetListeningPorts();
    return Cat(address.substr(0, address.rfind(':')), ":", ports.empty() ? 0 : ports.front());
  } catch (const std::exception& error) {
    return InvalidArgument("--metrics ", address, ": cannot listen: ", error.what());
  }
}

}  // namespace anamnesis::coordinator
