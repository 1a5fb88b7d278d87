// SPDX-License-Identifier: Apache-2.0
#include "workers/train/cohort_report.h"

#include <algorithm>
#include <utility>

#include "workers/metrics/bag_of_codes.h"
#include "workers/metrics/evaluator.h"
#include "workers/train/cohort_reader.h"

namespace anamnesis::train {
namespace {

constexpr size_t kChunk = 512;  // subjects
constexpr char kNoSite[] = "(control)";
// Weakest last: of equal ones on tuning the strongest regularisation is taken.
constexpr double kStrengths[] = {0.01, 0.1, 1, 10};
constexpr double kDefaultStrength = 1;

int64_t CeilDivided(uint64_t total, int64_t part) {
  return (static_cast<int64_t>(total) + part - 1) / std::max<int64_t>(part, 1);
}

StatusOr<std::vector<metrics::Bag>> ReadTrain(const CohortReader& reader,
                                              const CohortReportOptions& options) {
  ANAM_ASSIGN_OR_RETURN(const shard::SplitSummary split, reader.Split(options.train_split));
  const int64_t stride =
      std::max({int64_t{1}, CeilDivided(split.num_subjects, options.max_train_subjects),
                CeilDivided(split.num_events, options.max_train_events)});
  std::vector<metrics::Bag> bags;
  ANAM_RETURN_IF_ERROR(reader.ForEach(options.train_split, static_cast<uint64_t>(stride),
                                      [&](const CohortSubject& subject) {
                                        bags.push_back(subject.bag);
                                        return absl::OkStatus();
                                      }));
  return bags;
}

// One model for each strength.
StatusOr<std::vector<metrics::BagOfCodes>> FitAll(const std::vector<metrics::Bag>& train,
                                                  const std::vector<double>& strengths,
                                                  int num_classes) {
  std::vector<metrics::BagOfCodes> models;
  for (const double c : strengths) {
    ANAM_ASSIGN_OR_RETURN(metrics::BagOfCodes model,
                          metrics::BagOfCodes::Fit(train, num_classes, {.logistic = {.c = c}}));
    models.push_back(std::move(model));
  }
  return models;
}

// Groups the subjects of splits, and has models score them.
class Scorer {
 public:
  Scorer(const CohortReader& reader, std::vector<metrics::Grouping>* groupings)
      : reader_(reader), groupings_(*groupings) {}

  // A part of rows for each chunk, by model.
  StatusOr<std::vector<metrics::ScoredSplit>> Score(
      const std::string& split, const std::vector<metrics::BagOfCodes>& models) {
    std::vector<std::vector<metrics::Rows>> parts(models.size());
    std::vector<metrics::Bag> chunk;
    const auto flush = [&]() -> Status {
      for (size_t i = 0; i < models.size(); ++i) {
        ANAM_ASSIGN_OR_RETURN(metrics::Rows rows, models[i].Score(chunk));
        parts[i].push_back(std::move(rows));
      }
      chunk.clear();
      return absl::OkStatus();
    };
    ANAM_RETURN_IF_ERROR(reader_.ForEach(split, 1, [&](const CohortSubject& subject) -> Status {
      Group(subject);
      if (models.empty()) return absl::OkStatus();
      chunk.push_back(subject.bag);
      return chunk.size() == kChunk ? flush() : absl::OkStatus();
    }));
    if (!chunk.empty()) ANAM_RETURN_IF_ERROR(flush());
    std::vector<metrics::ScoredSplit> scored;
    for (const std::vector<metrics::Rows>& own : parts) {
      ANAM_ASSIGN_OR_RETURN(metrics::ScoredSplit one, metrics::ScoredSplit::Create(own));
      scored.push_back(std::move(one));
    }
    return scored;
  }

 private:
  void Group(const CohortSubject& subject) {
    const int64_t id = subject.bag.subject;
    if (!subject.site.empty() || subject.bag.label == 0) {
      groupings_[0].of_subject[id] = subject.site.empty() ? kNoSite : subject.site;
    }
    if (!subject.sex.empty()) groupings_[1].of_subject[id] = subject.sex;
    if (!subject.age.empty()) groupings_[2].of_subject[id] = subject.age;
  }

  const CohortReader& reader_;
  std::vector<metrics::Grouping>& groupings_;
};

// By AUROC, or by the loss where it is not defined; the first of equal ones.
size_t BestOf(const std::vector<metrics::ScoredSplit>& scored) {
  size_t best = 0;
  double best_value = 0;
  for (size_t i = 0; i < scored.size(); ++i) {
    std::optional<double> auroc, loss;
    for (const auto& named : metrics::Evaluator(scored[i], std::nullopt).Compute()) {
      if (named.name == "auroc") auroc = named.metric.value;
      if (named.name == "loss") loss = named.metric.value;
    }
    const double value = auroc ? *auroc : -loss.value_or(0);
    if (i == 0 || value > best_value) {
      best = i;
      best_value = value;
    }
  }
  return best;
}

// A grouping in which everybody is a control, or nobody is known, tells nothing.
bool Tells(const metrics::Grouping& grouping) {
  return std::any_of(grouping.of_subject.begin(), grouping.of_subject.end(),
                     [](const auto& entry) { return entry.second != kNoSite; });
}

}  // namespace

StatusOr<CohortReport> MakeCohortReport(const CohortReportOptions& options) {
  ANAM_ASSIGN_OR_RETURN(const CohortReader reader,
                        CohortReader::Open(options.shards_directory, options.stream));
  CohortReport report;
  report.groupings = {{.name = "site", .of_subject = {}},
                      {.name = "sex", .of_subject = {}},
                      {.name = "age", .of_subject = {}}};
  Baseline& baseline = report.baseline;
  ANAM_ASSIGN_OR_RETURN(std::vector<metrics::Bag> train, ReadTrain(reader, options));
  baseline.train_subjects = static_cast<int64_t>(train.size());
  baseline.chosen_on_tuning = !options.tuning_split.empty();
  std::vector<double> strengths = {kDefaultStrength};
  if (baseline.chosen_on_tuning) strengths.assign(std::begin(kStrengths), std::end(kStrengths));
  StatusOr<std::vector<metrics::BagOfCodes>> fitted = FitAll(train, strengths, options.num_classes);
  if (!fitted.ok()) baseline.reason = MessageOf(fitted.status());
  std::vector<metrics::BagOfCodes> models;
  if (fitted.ok()) models = *std::move(fitted);
  train = {};
  Scorer scorer(reader, &report.groupings);
  size_t best = 0;
  if (!options.tuning_split.empty()) {
    ANAM_ASSIGN_OR_RETURN(std::vector<metrics::ScoredSplit> scored,
                          scorer.Score(options.tuning_split, models));
    if (!models.empty()) {
      best = BestOf(scored);
      baseline.tuning = std::move(scored[best]);
    }
  }
  if (!models.empty()) {
    baseline.c = strengths[best];
    baseline.features = models[best].num_features();
    models = {std::move(models[best])};
  }
  if (!options.held_out_split.empty()) {
    ANAM_ASSIGN_OR_RETURN(std::vector<metrics::ScoredSplit> scored,
                          scorer.Score(options.held_out_split, models));
    if (!models.empty()) baseline.held_out = std::move(scored[0]);
  }
  std::erase_if(report.groupings, [](const auto& grouping) { return !Tells(grouping); });
  return report;
}

}  // namespace anamnesis::train
