// SPDX-License-Identifier: Apache-2.0
#include "services/store/job_record.h"

#include "services/store/fields.h"

namespace anamnesis::store {

// Outside the unnamed namespace: fields.h finds these by argument-dependent lookup.
template <typename V, Is<core::WorkerProcess> T>
void VisitFields(V& visit, T& worker) {
  visit("host", worker.host);
  visit("boot_id", worker.boot_id);
  visit("pid", worker.pid);
  visit("start_ticks", worker.start_ticks);
  visit("handle", worker.handle);
}

template <typename V, Is<core::Failure> T>
void VisitFields(V& visit, T& failure) {
  visit("reason", failure.reason);
  visit("message", failure.message);
  visit("last_step", failure.last_step);
}

template <typename V, Is<core::Attempt> T>
void VisitFields(V& visit, T& attempt) {
  visit("epoch", attempt.epoch);
  visit("state", attempt.state);
  visit("reason", attempt.reason);
  visit("message", attempt.message);
  visit("slots", attempt.slots);
  visit("nodes", attempt.nodes);
  visit("token", attempt.token);
  visit("worker", attempt.worker);
  visit("start_time_us", attempt.start_time);
  visit("end_time_us", attempt.end_time);
  visit("first_step", attempt.first_step);
  visit("last_step", attempt.last_step);
  visit("resumed_step", attempt.resumed_step);
  visit("kept_ranks", attempt.kept_ranks);
  visit("reattached", attempt.reattached);
  visit("holds_slots", attempt.holds_slots);
}

template <typename V, Is<core::Checkpoint> T>
void VisitFields(V& visit, T& checkpoint) {
  visit("step", checkpoint.step);
  visit("epoch", checkpoint.epoch);
  visit("path", checkpoint.path);
  visit("sha256", checkpoint.sha256);
  visit("commit_time_us", checkpoint.commit_time);
}

template <typename V, Is<core::Progress> T>
void VisitFields(V& visit, T& progress) {
  visit("phase", progress.phase);
  visit("done", progress.done);
  visit("total", progress.total);
  visit("eta_seconds", progress.eta_seconds);
  visit("step", progress.step);
  visit("total_steps", progress.total_steps);
  visit("epoch", progress.epoch);
  visit("tokens", progress.tokens);
  visit("tokens_per_second", progress.tokens_per_second);
  visit("step_seconds", progress.step_seconds);
  visit("loss", progress.loss);
  visit("learning_rate", progress.learning_rate);
  visit("grad_norm", progress.grad_norm);
  visit("tuning_loss", progress.tuning_loss);
  visit("train_seconds", progress.train_seconds);
  visit("evaluation_seconds", progress.evaluation_seconds);
}

template <typename V, Is<core::DataFacts> T>
void VisitFields(V& visit, T& data) {
  visit("medical_coverage", data.medical_coverage);
  visit("lab_coverage", data.lab_coverage);
  visit("truncated_token_share", data.truncated_token_share);
  visit("train_documents", data.train_documents);
  visit("class_shares", data.class_shares);
}

template <typename V, Is<core::Job> T>
void VisitFields(V& visit, T& job) {
  visit("id", job.id);
  visit("request_id", job.request_id);
  visit("display_name", job.spec.display_name);
  visit("project", job.spec.project);
  visit("priority", job.spec.priority);
  visit("after", job.spec.after);
  visit("output_dir", job.resolved.output_dir);
  visit("ranks", job.resolved.ranks);
  visit("notes", job.resolved.notes);
  visit("state", job.state);
  visit("reason", job.reason);
  visit("message", job.message);
  visit("create_time_us", job.create_time);
  visit("update_time_us", job.update_time);
  visit("start_time_us", job.start_time);
  visit("end_time_us", job.end_time);
  visit("attempts", job.attempts);
  visit("latest_checkpoint", job.latest_checkpoint);
  visit("progress", job.progress);
  visit("steps_executed", job.steps_executed);
  visit("acknowledged_sequence", job.acknowledged_sequence);
  visit("final_sha256", job.final_sha256);
  visit("final_path", job.final_path);
  visit("wandb_folder", job.wandb_folder);
  visit("evaluation", job.evaluation);
  visit("data", job.data);
  visit("failures", job.failures);
  visit("retry_time_us", job.retry_time);
  visit("stop_grace_us", job.stop_grace);
  visit("stop_deadline_us", job.stop_deadline);
}

namespace {

// Bytes that are no UTF-8 (a message cut in mid-character) must not stop a transaction.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

StatusOr<Json> Parse(const std::string& text, const std::string& source) {
  const StatusOr<Json> json = ParseJson(text, source);
  if (!json.ok()) return DataLoss(MessageOf(json.status()));
  return json;
}

}  // namespace

std::string BodyOf(const core::Job& job) {
  FieldWriter writer;
  VisitFields(writer, job);
  return Dump(writer.object());
}

Status ReadBody(const std::string& body, const std::string& source, core::Job* job) {
  ANAM_ASSIGN_OR_RETURN(const Json json, Parse(body, source));
  FieldReader reader(json, source, "");
  VisitFields(reader, *job);
  return reader.Finish();
}

std::string OverridesToJson(const std::vector<std::string>& overrides) {
  return Dump(Json(overrides));
}

StatusOr<std::vector<std::string>> OverridesFromJson(const std::string& text,
                                                     const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const Json json, Parse(text, source));
  std::vector<std::string> overrides;
  bool ok = json.is_array();
  for (size_t i = 0; ok && i < json.size(); ++i) {
    ok = json[i].is_string();
    if (ok) overrides.push_back(json[i].get<std::string>());
  }
  if (!ok) return DataLoss(source, ": overrides are not a list of texts");
  return overrides;
}

std::string MetricsToJson(const std::map<std::string, double>& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[name] = NumberToJson(value);
  return Dump(object);
}

StatusOr<std::map<std::string, double>> MetricsFromJson(const std::string& text,
                                                        const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const Json json, Parse(text, source));
  if (!json.is_object()) return DataLoss(source, ": metrics are not an object");
  std::map<std::string, double> values;
  for (const auto& [name, number] : json.items()) {
    if (!NumberFromJson(number, &values[name])) {
      return DataLoss(source, ": metric '", name, "' is not a number");
    }
  }
  return values;
}

}  // namespace anamnesis::store
