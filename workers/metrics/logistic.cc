// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/logistic.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace anamnesis::metrics {
namespace {

constexpr double kLargestValue = 1e9;

using Vector = std::vector<double>;

double Dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double LargestOf(const Vector& vector) {
  double largest = 0;
  for (const double value : vector) largest = std::max(largest, std::abs(value));
  return largest;
}

void AddScaled(double scale, const Vector& from, Vector& to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += scale * from[i];
}

// The objective around one point. Parameters are [K, V + 1], the intercept last.
class Objective {
 public:
  Objective(const SparseMatrix& features, std::span<const int32_t> labels, int num_classes,
            double c)
      : x_(features),
        labels_(labels),
        num_outputs_(num_classes == 2 ? 1 : static_cast<size_t>(num_classes)),
        width_(static_cast<size_t>(features.num_columns) + 1),
        c_(c),
        probabilities_NK_(labels.size() * num_outputs_) {}

  size_t num_parameters() const { return num_outputs_ * width_; }

  // Moves to `theta`; fills the gradient there.
  double MoveTo(const Vector& theta, Vector& gradient) {
    double loss = 0;
    std::vector<double> outputs(num_outputs_), residuals(num_outputs_);
    gradient.assign(num_parameters(), 0);
    for (size_t row = 0; row < labels_.size(); ++row) {
      Multiply(row, theta, outputs);
      double* probabilities = &probabilities_NK_[row * num_outputs_];
      loss += RowLoss(outputs, labels_[row], probabilities);
      for (size_t k = 0; k < num_outputs_; ++k) {
        const double truth = IsTruth(row, k) ? 1 : 0;
        residuals[k] = c_ * (probabilities[k] - truth);
      }
      AddTransposed(row, residuals, gradient);
    }
    double squares = 0;
    ForEachWeight([&](size_t i) {
      gradient[i] += theta[i];
      squares += theta[i] * theta[i];
    });
    return squares / 2 + c_ * loss;
  }

  // H × direction at the point of MoveTo.
  void Curve(const Vector& direction, Vector& product) const {
    std::vector<double> outputs(num_outputs_);
    product.assign(num_parameters(), 0);
    for (size_t row = 0; row < labels_.size(); ++row) {
      Multiply(row, direction, outputs);
      const double* probabilities = &probabilities_NK_[row * num_outputs_];
      double mean = 0;
      for (size_t k = 0; k < num_outputs_; ++k) mean += probabilities[k] * outputs[k];
      for (size_t k = 0; k < num_outputs_; ++k) {
        outputs[k] = c_ * probabilities[k] * (outputs[k] - mean);
      }
      AddTransposed(row, outputs, product);
    }
    ForEachWeight([&](size_t i) { product[i] += direction[i]; });
  }

  // The diagonal of H at the point of MoveTo, for the preconditioner.
  Vector Diagonal() const {
    Vector diagonal(num_parameters(), 0);
    for (size_t row = 0; row < labels_.size(); ++row) {
      for (size_t k = 0; k < num_outputs_; ++k) {
        const double p = probabilities_NK_[row * num_outputs_ + k];
        const double curvature = c_ * p * (1 - p);
        diagonal[(k + 1) * width_ - 1] += curvature;
        for (size_t at = Start(row); at < Start(row + 1); ++at) {
          const double value = x_.values[at];
          diagonal[k * width_ + Column(at)] += curvature * value * value;
        }
      }
    }
    ForEachWeight([&](size_t i) { diagonal[i] += 1; });
    for (double& value : diagonal) value = std::max(value, 1e-12);
    return diagonal;
  }

 private:
  size_t Start(size_t row) const { return static_cast<size_t>(x_.row_starts[row]); }
  size_t Column(size_t at) const { return static_cast<size_t>(x_.columns[at]); }
  bool IsTruth(size_t row, size_t k) const {
    return labels_[row] == static_cast<int32_t>(num_outputs_ == 1 ? 1 : k);
  }

  template <typename Visit>
  void ForEachWeight(Visit visit) const {  // not the intercepts
    for (size_t i = 0; i < num_parameters(); ++i) {
      if (i % width_ != width_ - 1) visit(i);
    }
  }

  void Multiply(size_t row, const Vector& theta, std::vector<double>& outputs) const {
    for (size_t k = 0; k < num_outputs_; ++k) {
      const double* weights = &theta[k * width_];
      double sum = weights[width_ - 1];
      for (size_t at = Start(row); at < Start(row + 1); ++at) {
        sum += weights[Column(at)] * x_.values[at];
      }
      outputs[k] = sum;
    }
  }

  void AddTransposed(size_t row, const std::vector<double>& scales, Vector& to) const {
    for (size_t k = 0; k < num_outputs_; ++k) {
      double* weights = &to[k * width_];
      weights[width_ - 1] += scales[k];
      for (size_t at = Start(row); at < Start(row + 1); ++at) {
        weights[Column(at)] += scales[k] * x_.values[at];
      }
    }
  }

  // Cross entropy of a row, and its probabilities. Of two classes the other output is 0.
  double RowLoss(const std::vector<double>& outputs, int32_t label, double* probabilities) const {
    if (num_outputs_ == 1) {
      const double output = outputs[0], small = std::exp(-std::abs(output));
      probabilities[0] = (output >= 0 ? 1 : small) / (1 + small);
      return std::log1p(small) + std::max(output, 0.0) - (label == 1 ? output : 0);
    }
    const double largest = *std::max_element(outputs.begin(), outputs.end());
    double sum = 0;
    for (size_t k = 0; k < num_outputs_; ++k) {
      probabilities[k] = std::exp(outputs[k] - largest);
      sum += probabilities[k];
    }
    for (size_t k = 0; k < num_outputs_; ++k) probabilities[k] /= sum;
    return std::log(sum) + largest - outputs[static_cast<size_t>(label)];
  }

  const SparseMatrix& x_;
  std::span<const int32_t> labels_;
  size_t num_outputs_, width_;
  double c_;
  Vector probabilities_NK_;
};

// Conjugate gradients on H d = −g until the residual is `tolerance` of g's size.
Vector NewtonStep(const Objective& objective, const Vector& gradient, double tolerance) {
  const Vector diagonal = objective.Diagonal();
  Vector step(gradient.size(), 0), residual = gradient, product, direction(gradient.size());
  Vector scaled(gradient.size());
  const auto precondition = [&] {
    for (size_t i = 0; i < residual.size(); ++i) scaled[i] = residual[i] / diagonal[i];
  };
  precondition();
  for (size_t i = 0; i < direction.size(); ++i) direction[i] = -scaled[i];
  double size = Dot(residual, scaled);
  const double target = tolerance * tolerance * size;
  for (size_t turn = 0; turn < 2 * gradient.size() + 100 && size > target; ++turn) {
    objective.Curve(direction, product);
    const double curvature = Dot(direction, product);
    if (curvature <= 0) break;  // along the common shift of the intercepts, by rounding
    const double length = size / curvature;
    AddScaled(length, direction, step);
    AddScaled(length, product, residual);
    precondition();
    const double next = Dot(residual, scaled);
    for (size_t i = 0; i < direction.size(); ++i) {
      direction[i] = direction[i] * (next / size) - scaled[i];
    }
    size = next;
  }
  return step;
}

Status CheckFeatures(const SparseMatrix& features) {
  const auto& starts = features.row_starts;
  if (starts.empty() || starts.front() != 0 || !std::is_sorted(starts.begin(), starts.end()) ||
      starts.back() != static_cast<int64_t>(features.values.size()) ||
      features.columns.size() != features.values.size()) {
    return InvalidArgument("sparse matrix: row starts, columns and values do not fit each other");
  }
  for (size_t i = 0; i < features.values.size(); ++i) {
    if (features.columns[i] < 0 || features.columns[i] >= features.num_columns) {
      return InvalidArgument("sparse matrix: column ", features.columns[i], " of ",
                             features.num_columns);
    }
    if (!(std::abs(features.values[i]) <= kLargestValue)) {
      return InvalidArgument("sparse matrix: column ", features.columns[i], " has the value ",
                             features.values[i], ", expected one within ±", kLargestValue);
    }
  }
  return absl::OkStatus();
}

Status CheckLabels(const SparseMatrix& features, std::span<const int32_t> labels, int num_classes) {
  if (static_cast<int64_t>(labels.size()) != features.num_rows()) {
    return InvalidArgument("logistic regression: ", features.num_rows(), " rows and ",
                           labels.size(), " labels");
  }
  if (num_classes < 2) return InvalidArgument("logistic regression: fewer than two classes");
  std::vector<int64_t> counts(static_cast<size_t>(num_classes), 0);
  for (const int32_t label : labels) {
    if (label < 0 || label >= num_classes) {
      return InvalidArgument("logistic regression: label ", label, " of ", num_classes, " classes");
    }
    ++counts[static_cast<size_t>(label)];
  }
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] > 0) continue;
    return FailedPrecondition("logistic regression: no row of class ", c,
                              ", expected some of each class");
  }
  return absl::OkStatus();
}

LogisticModel ModelOf(const Vector& theta, int num_classes, int64_t num_features) {
  LogisticModel model;
  model.num_classes = num_classes;
  model.num_features = num_features;
  const auto width = static_cast<std::ptrdiff_t>(num_features) + 1;
  for (auto at = theta.begin(); at != theta.end(); at += width) {
    model.weights_KV.insert(model.weights_KV.end(), at, at + width - 1);
    model.intercepts_K.push_back(*(at + width - 1));
  }
  if (num_classes == 2) return model;
  const double mean =
      std::accumulate(model.intercepts_K.begin(), model.intercepts_K.end(), 0.0) / num_classes;
  for (double& intercept : model.intercepts_K) intercept -= mean;
  return model;
}

}  // namespace

StatusOr<LogisticModel> FitLogistic(const SparseMatrix& features, std::span<const int32_t> labels,
                                    int num_classes, const LogisticOptions& options) {
  ANAM_RETURN_IF_ERROR(CheckFeatures(features));
  ANAM_RETURN_IF_ERROR(CheckLabels(features, labels, num_classes));
  if (!(options.c > 0 && options.c <= kLargestValue)) {
    return InvalidArgument("logistic regression: C is ", options.c, ", expected one above 0");
  }
  Objective objective(features, labels, num_classes, options.c);
  Vector theta(objective.num_parameters(), 0), gradient, trial, trial_gradient;
  double value = objective.MoveTo(theta, gradient);
  const double first = LargestOf(gradient);
  for (int turn = 0; turn < options.max_steps; ++turn) {
    const double size = LargestOf(gradient);
    if (size == 0) return ModelOf(theta, num_classes, features.num_columns);
    const Vector step = NewtonStep(objective, gradient, std::clamp(size / first, 1e-8, 1e-2));
    const double slope = Dot(gradient, step);
    double length = 1, next = 0;
    for (int halving = 0; halving < 60; ++halving, length /= 2) {
      trial = theta;
      AddScaled(length, step, trial);
      next = objective.MoveTo(trial, trial_gradient);
      // Where the fall is below the rounding of the objective, any of its values will do.
      if (next <= value + 1e-4 * length * slope + 1e-12 * std::abs(value)) break;
    }
    theta.swap(trial);
    gradient.swap(trial_gradient);
    value = next;
    if (length == 1 && LargestOf(step) <= 1e-9 * std::max(1.0, LargestOf(theta))) {
      return ModelOf(theta, num_classes, features.num_columns);
    }
  }
  return Internal("logistic regression: no convergence within ", options.max_steps, " steps");
}

StatusOr<std::vector<double>> LogitsOf(const LogisticModel& model, const SparseMatrix& features) {
  ANAM_RETURN_IF_ERROR(CheckFeatures(features));
  if (features.num_columns != model.num_features) {
    return InvalidArgument("logistic regression: ", features.num_columns,
                           " features, the model has ", model.num_features);
  }
  const auto width = static_cast<size_t>(model.num_features);
  std::vector<double> logits_NC;
  for (size_t row = 0; row + 1 < features.row_starts.size(); ++row) {
    if (model.num_classes == 2) logits_NC.push_back(0);
    for (size_t k = 0; k < model.intercepts_K.size(); ++k) {
      double sum = model.intercepts_K[k];
      for (auto at = static_cast<size_t>(features.row_starts[row]);
           at < static_cast<size_t>(features.row_starts[row + 1]); ++at) {
        sum += model.weights_KV[k * width + static_cast<size_t>(features.columns[at])] *
               features.values[at];
      }
      logits_NC.push_back(sum);
    }
  }
  return logits_NC;
}

}  // namespace anamnesis::metrics
