// SPDX-License-Identifier: Apache-2.0
#include "workers/train/predict.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <optional>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "workers/collective/group.h"
#include "workers/train/open_classifier.h"
#include "workers/train/score_split.h"
#include "workers/train/status_from_torch.h"
#include "workers/train/subject_rows.h"

namespace anamnesis::train {
namespace {

Status CheckFile(const std::string& path, const std::string& sha256, const std::string& expected) {
  if (sha256 == expected) return absl::OkStatus();
  return DataLoss(path, ": SHA-256 ", sha256.substr(0, 16), "…, the plan says ",
                  expected.substr(0, 16), "…: it has changed meanwhile; start again");
}

StatusOr<std::optional<prep::Labels>> ReadLabels(const contract::PredictPlan& plan) {
  if (plan.labels_path.empty()) return std::optional<prep::Labels>();
  ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(plan.labels_path));
  ANAM_RETURN_IF_ERROR(CheckFile(plan.labels_path, Sha256Hex(content), plan.labels_sha256));
  ANAM_ASSIGN_OR_RETURN(prep::Labels labels, prep::Labels::Parse(content, plan.labels_path));
  return std::optional<prep::Labels>(std::move(labels));
}

Status PredictAll(const contract::PredictPlan& plan, const WorkProgress& progress) {
  at::set_num_threads(plan.threads);
  ANAM_ASSIGN_OR_RETURN(const std::optional<prep::Labels> labels, ReadLabels(plan));
  const std::string manifest = plan.shards_directory + "/manifest.json";
  ANAM_ASSIGN_OR_RETURN(const std::string sha256, FileSha256(manifest));
  ANAM_RETURN_IF_ERROR(CheckFile(manifest, sha256, plan.shards_manifest_sha256));
  SubjectRowsOptions options{.shards_directory = plan.shards_directory,
                             .split = plan.split,
                             .model_directory = plan.model_directory};
  ANAM_ASSIGN_OR_RETURN(options.spec, stream::StreamSpecFromJson(plan.stream, "plan: stream"));
  ANAM_ASSIGN_OR_RETURN(const auto rows, SubjectRows::Open(options, labels ? &*labels : nullptr));
  ANAM_ASSIGN_OR_RETURN(const OpenedClassifier classifier, OpenClassifier(plan));

  const auto group = collective::MakeSingleGroup();
  const auto total = static_cast<uint64_t>(rows->num_rows());
  uint64_t done = 0;
  const auto alive = [&] {
    done = std::min(total, done + static_cast<uint64_t>(plan.batch_rows));
    if (progress) progress(done, total);
  };
  ANAM_ASSIGN_OR_RETURN(const metrics::ScoredSplit scores,
                        ScoreSplit(*classifier.learner, *group, *rows,
                                   {.num_lanes = static_cast<int>(plan.lanes),
                                    .micro_batch_rows = plan.batch_rows,
                                    .alive = alive}));
  const std::optional<double> threshold =
      plan.has_threshold ? std::optional<double>(plan.threshold) : std::nullopt;
  return WriteFileDurably(plan.output, metrics::PredictionText(rows->subjects(), scores,
                                                               classifier.class_names, threshold));
}

}  // namespace

Status Predict(const std::string& plan_path, const WorkProgress& progress) {
  ANAM_ASSIGN_OR_RETURN(const contract::PredictPlan plan, contract::ReadPredictPlan(plan_path));
  return StatusFromTorch([&] { return PredictAll(plan, progress); });
}

}  // namespace anamnesis::train
