// SPDX-License-Identifier: Apache-2.0
#include "workers/track/trainer_state.h"

namespace anamnesis::track {
namespace {

Json ControlJson(bool stop) {
  return {{"args",
           {{"should_epoch_stop", false},
            {"should_evaluate", false},
            {"should_log", false},
            {"should_save", true},
            {"should_training_stop", stop}}},
          {"attributes", Json::object()}};
}

}  // namespace

std::string TrainerStateText(const TrainerState& state) {
  Json own = {{"loss_sum_since_log", state.loss_sum_since_log},
              {"steps_since_log", state.steps_since_log},
              {"loss_sum", state.loss_sum},
              {"evaluations_without_improvement", state.evaluations_without_improvement},
              {"stopped_early", state.stopped_early}};
  if (state.loss_scaler.scale > 0) {
    own["loss_scaler"] = {{"scale", state.loss_scaler.scale},
                          {"growth_tracker", state.loss_scaler.growth_tracker},
                          {"skipped_steps", state.loss_scaler.skipped_steps}};
  }
  Json json;
  json["best_global_step"] = state.best_metric ? Json(state.best_global_step) : Json();
  json["best_metric"] = state.best_metric ? Json(*state.best_metric) : Json();
  json["best_model_checkpoint"] =
      state.best_model_checkpoint.empty() ? Json() : Json(state.best_model_checkpoint);
  json["epoch"] = state.epoch;
  json["eval_steps"] = state.eval_steps;
  json["global_step"] = state.global_step;
  json["is_hyper_param_search"] = false;
  json["is_local_process_zero"] = true;
  json["is_world_process_zero"] = true;
  json["log_history"] = state.log_history;
  json["logging_steps"] = state.logging_steps;
  json["max_steps"] = state.max_steps;
  json["num_input_tokens_seen"] = state.num_input_tokens_seen;
  json["num_train_epochs"] = state.num_train_epochs;
  json["save_steps"] = state.save_steps;
  json["stateful_callbacks"] = {
      {"TrainerControl", ControlJson(state.global_step >= state.max_steps || state.stopped_early)},
      {"AnamnesisTrainer", {{"args", Json::object()}, {"attributes", std::move(own)}}}};
  json["total_flos"] = 0;
  json["train_batch_size"] = state.train_batch_size;
  json["trial_name"] = nullptr;
  json["trial_params"] = nullptr;
  return json.dump(2) + "\n";
}

StatusOr<TrainerState> TrainerStateFromJson(const Json& json, const std::string& source) {
  TrainerState state;
  ANAM_ASSIGN_OR_RETURN(state.global_step, JsonInt(json, "global_step", source));
  ANAM_ASSIGN_OR_RETURN(state.epoch, JsonNumber(json, "epoch", source));
  ANAM_ASSIGN_OR_RETURN(state.max_steps, JsonInt(json, "max_steps", source));
  ANAM_ASSIGN_OR_RETURN(state.num_train_epochs, JsonInt(json, "num_train_epochs", source));
  ANAM_ASSIGN_OR_RETURN(state.logging_steps, JsonInt(json, "logging_steps", source));
  ANAM_ASSIGN_OR_RETURN(state.eval_steps, JsonInt(json, "eval_steps", source));
  ANAM_ASSIGN_OR_RETURN(state.save_steps, JsonInt(json, "save_steps", source));
  ANAM_ASSIGN_OR_RETURN(state.train_batch_size, JsonInt(json, "train_batch_size", source));
  ANAM_ASSIGN_OR_RETURN(state.num_input_tokens_seen,
                        JsonInt(json, "num_input_tokens_seen", source));
  if (json.contains("best_metric") && !json["best_metric"].is_null()) {
    ANAM_ASSIGN_OR_RETURN(state.best_metric, JsonNumber(json, "best_metric", source));
    ANAM_ASSIGN_OR_RETURN(state.best_global_step, JsonInt(json, "best_global_step", source));
  }
  if (json.contains("best_model_checkpoint") && !json["best_model_checkpoint"].is_null()) {
    ANAM_ASSIGN_OR_RETURN(state.best_model_checkpoint,
                          JsonString(json, "best_model_checkpoint", source));
  }
  if (!json.contains("log_history") || !json["log_history"].is_array()) {
    return InvalidArgument(source, ": log_history: expected a list");
  }
  state.log_history = json["log_history"];
  const auto own = Json::json_pointer("/stateful_callbacks/AnamnesisTrainer/attributes");
  if (!json.contains(own)) {
    return InvalidArgument(source, ": stateful_callbacks.AnamnesisTrainer is missing");
  }
  const Json& attributes = json[own];
  ANAM_ASSIGN_OR_RETURN(state.loss_sum_since_log,
                        JsonNumber(attributes, "loss_sum_since_log", source));
  ANAM_ASSIGN_OR_RETURN(state.steps_since_log, JsonInt(attributes, "steps_since_log", source));
  ANAM_ASSIGN_OR_RETURN(state.loss_sum, JsonNumber(attributes, "loss_sum", source));
  ANAM_ASSIGN_OR_RETURN(state.evaluations_without_improvement,
                        JsonInt(attributes, "evaluations_without_improvement", source));
  ANAM_ASSIGN_OR_RETURN(state.stopped_early, JsonBool(attributes, "stopped_early", source));
  if (attributes.contains("loss_scaler")) {
    const Json& scaler = attributes["loss_scaler"];
    LossScalerState& read = state.loss_scaler;
    ANAM_ASSIGN_OR_RETURN(read.scale, JsonNumber(scaler, "scale", source));
    ANAM_ASSIGN_OR_RETURN(read.growth_tracker, JsonInt(scaler, "growth_tracker", source));
    ANAM_ASSIGN_OR_RETURN(read.skipped_steps, JsonInt(scaler, "skipped_steps", source));
  }
  return state;
}

}  // namespace anamnesis::track
