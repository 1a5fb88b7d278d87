// SPDX-License-Identifier: Apache-2.0
#include "workers/contract/predict_plan.h"

#include "workers/contract/fields.h"

namespace anamnesis::contract {

// Outside the unnamed namespace: fields.h finds it by argument-dependent lookup.
template <typename V, fields::Is<PredictPlan> T>
void VisitFields(V& visit, T& plan) {
  visit("version", plan.version);
  visit("kind", plan.kind);
  visit("model_directory", plan.model_directory);
  visit("adapter", plan.adapter);
  visit("dtype", plan.dtype);
  visit("quantisation", plan.quantisation);
  visit("class_names", plan.class_names);
  visit("has_threshold", plan.has_threshold);
  visit("threshold", plan.threshold);
  visit("shards_directory", plan.shards_directory);
  visit("shards_manifest_sha256", plan.shards_manifest_sha256);
  visit("split", plan.split);
  visit("labels_path", plan.labels_path);
  visit("labels_sha256", plan.labels_sha256);
  visit("stream", plan.stream);
  visit("lanes", plan.lanes);
  visit("batch_rows", plan.batch_rows);
  visit("threads", plan.threads);
  visit("output", plan.output);
}

Json ToJson(const PredictPlan& plan) {
  fields::Writer writer;
  VisitFields(writer, plan);
  return writer.Take();
}

StatusOr<PredictPlan> PredictPlanFromJson(const Json& json, const std::string& source) {
  PredictPlan plan;
  fields::Reader reader(json, source, "", /*finite=*/true);
  VisitFields(reader, plan);
  ANAM_RETURN_IF_ERROR(reader.Finish());
  if (plan.version != 1) {
    return InvalidArgument(source, ": key 'version': ", plan.version, ", expected 1");
  }
  if (plan.kind != "encoder" && plan.kind != "decoder" && plan.kind != "prompt") {
    return InvalidArgument(source, ": key 'kind': '", plan.kind,
                           "' is not one of encoder, decoder, prompt");
  }
  constexpr int64_t kMost = 1 << 20;
  for (const auto& [key, value] : {std::pair<const char*, int64_t>{"lanes", plan.lanes},
                                   {"batch_rows", plan.batch_rows},
                                   {"threads", plan.threads}}) {
    if (value >= 1 && value <= kMost) continue;
    return InvalidArgument(source, ": key '", key, "': ", value, ", expected 1 to ", kMost);
  }
  if ((plan.lanes & (plan.lanes - 1)) != 0) {
    return InvalidArgument(source, ": key 'lanes': ", plan.lanes, ", expected a power of two");
  }
  return plan;
}

StatusOr<PredictPlan> ReadPredictPlan(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  return PredictPlanFromJson(json, path);
}

}  // namespace anamnesis::contract
