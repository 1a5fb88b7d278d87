// SPDX-License-Identifier: Apache-2.0
#include "workers/contract/report.h"

#include "workers/contract/fields.h"

namespace anamnesis::contract {

// Outside the unnamed namespace: fields.h finds these by argument-dependent lookup.
template <typename V, fields::Is<StepReport> T>
void VisitFields(V& visit, T& report) {
  visit("step", report.step);
  visit("epoch", report.epoch);
  visit("loss", report.loss);
  visit("grad_norm", report.grad_norm);
  visit("learning_rate", report.learning_rate);
  visit("tokens", report.tokens);
  visit("global_tokens", report.global_tokens);
  visit("labels", report.labels);
  visit("seconds", report.seconds);
  visit("cpu_seconds", report.cpu_seconds);
  visit("loss_scale", report.loss_scale);
  visit("skipped", report.skipped);
}

template <typename V, fields::Is<EvalReport> T>
void VisitFields(V& visit, T& report) {
  visit("step", report.step);
  visit("epoch", report.epoch);
  visit("loss", report.loss);
  visit("labels", report.labels);
  visit("seconds", report.seconds);
  visit("metrics", report.metrics);
}

template <typename V, fields::Is<DoneReport> T>
void VisitFields(V& visit, T& report) {
  visit("step", report.step);
  visit("steps_executed", report.steps_executed);
  visit("tokens_trained", report.tokens_trained);
  visit("train_loss", report.train_loss);
  visit("cpu_seconds", report.cpu_seconds);
  visit("rank_tokens", report.rank_tokens);
  visit("final_sha256", report.final_sha256);
  visit("tracker_failures", report.tracker_failures);
  visit("tracker_failure", report.tracker_failure);
  visit("skipped_steps", report.skipped_steps);
  visit("evaluation", report.evaluation);
}

namespace {

template <typename T>
Json Write(const T& report, const char* kind) {
  fields::Writer writer;
  VisitFields(writer, report);
  Json json = writer.Take();
  json["kind"] = kind;
  return json;
}

template <typename T>
StatusOr<T> Read(const Json& json, const char* kind) {
  const std::string source = Cat("report '", kind, "'");
  ANAM_ASSIGN_OR_RETURN(const std::string found, JsonString(json, "kind", source));
  if (found != kind) return InvalidArgument(source, ": found kind '", found, "'");
  T report;
  fields::Reader reader(json, source, "", /*finite=*/false);
  reader.Accept("kind");
  VisitFields(reader, report);
  ANAM_RETURN_IF_ERROR(reader.Finish());
  return report;
}

}  // namespace

Json ToJson(const StepReport& report) { return Write(report, "step"); }
Json ToJson(const EvalReport& report) { return Write(report, "eval"); }
Json ToJson(const DoneReport& report) { return Write(report, "done"); }

StatusOr<StepReport> StepReportFromJson(const Json& json) { return Read<StepReport>(json, "step"); }
StatusOr<EvalReport> EvalReportFromJson(const Json& json) { return Read<EvalReport>(json, "eval"); }
StatusOr<DoneReport> DoneReportFromJson(const Json& json) { return Read<DoneReport>(json, "done"); }

Json ErrorMessage(const Status& status) {
  return {{"kind", "error"},
          {"code", absl::StatusCodeToString(status.code())},
          {"message", MessageOf(status)}};
}

Status StatusFromErrorMessage(const Json& json) {
  const std::string source = "report 'error'";
  ANAM_ASSIGN_OR_RETURN(const std::string name, JsonString(json, "code", source));
  ANAM_ASSIGN_OR_RETURN(const std::string message, JsonString(json, "message", source));
  for (int code = 1; code <= static_cast<int>(absl::StatusCode::kUnauthenticated); ++code) {
    if (name == absl::StatusCodeToString(static_cast<absl::StatusCode>(code))) {
      return Status(static_cast<absl::StatusCode>(code), message);
    }
  }
  return InvalidArgument(source, ": unknown code '", name, "'");
}

}  // namespace anamnesis::contract
