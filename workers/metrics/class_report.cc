// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/class_report.h"

namespace anamnesis::metrics {
namespace {

// 0 where nothing is counted, as scikit-learn's zero_division.
double Ratio(int64_t numerator, int64_t denominator) {
  return denominator == 0 ? 0 : static_cast<double>(numerator) / static_cast<double>(denominator);
}

struct Averaged {
  Metric macro, weighted;
};

Averaged Average(const std::vector<ClassFigures>& figures, Metric ClassFigures::*member) {
  CompensatedSum plain, weighted;
  int64_t classes = 0, rows = 0;
  for (const ClassFigures& figure : figures) {
    const Metric& metric = figure.*member;
    if (!metric.value) continue;
    ++classes;
    rows += figure.support;
    plain.Add(*metric.value);
    weighted.Add(*metric.value * static_cast<double>(figure.support));
  }
  if (rows == 0) return {Metric::Absent(kNoRows), Metric::Absent(kNoRows)};
  return {Metric::Of(plain.value() / static_cast<double>(classes)),
          Metric::Of(weighted.value() / static_cast<double>(rows))};
}

}  // namespace

Confusion ConfusionOf(const ScoredSplit& split, Weights weights) {
  const auto classes = static_cast<size_t>(split.num_classes());
  Confusion confusion(classes, std::vector<int64_t>(classes, 0));
  for (size_t i = 0; i < split.labels().size(); ++i) {
    confusion[static_cast<size_t>(split.labels()[i])][static_cast<size_t>(split.predicted()[i])] +=
        WeightOf(weights, i);
  }
  return confusion;
}

std::vector<ClassFigures> FiguresOf(const Confusion& confusion) {
  std::vector<ClassFigures> figures(confusion.size());
  for (size_t label = 0; label < confusion.size(); ++label) {
    figures[label].correct = confusion[label][label];
    for (size_t other = 0; other < confusion.size(); ++other) {
      figures[label].support += confusion[label][other];
      figures[other].predicted += confusion[label][other];
    }
  }
  for (ClassFigures& figure : figures) {
    if (figure.support + figure.predicted == 0) {
      figure.precision = figure.recall = figure.f1 =
          Metric::Absent("no row has this class as its label or its prediction");
      continue;
    }
    figure.precision = Metric::Of(Ratio(figure.correct, figure.predicted));
    figure.recall = Metric::Of(Ratio(figure.correct, figure.support));
    figure.f1 = Metric::Of(Ratio(2 * figure.correct, figure.support + figure.predicted));
  }
  return figures;
}

ClassAverages AveragesOf(const Confusion& confusion) {
  const std::vector<ClassFigures> figures = FiguresOf(confusion);
  int64_t rows = 0, correct = 0;
  for (const ClassFigures& figure : figures) {
    rows += figure.support;
    correct += figure.correct;
  }
  ClassAverages averages;
  averages.accuracy = rows == 0 ? Metric::Absent(kNoRows) : Metric::Of(Ratio(correct, rows));
  const Averaged precision = Average(figures, &ClassFigures::precision);
  const Averaged recall = Average(figures, &ClassFigures::recall);
  const Averaged f1 = Average(figures, &ClassFigures::f1);
  averages.precision_macro = precision.macro;
  averages.precision_weighted = precision.weighted;
  averages.recall_macro = recall.macro;
  averages.recall_weighted = recall.weighted;
  averages.f1_macro = f1.macro;
  averages.f1_weighted = f1.weighted;
  return averages;
}

}  // namespace anamnesis::metrics
