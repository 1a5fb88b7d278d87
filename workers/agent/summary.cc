// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/summary.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "common/base/evaluation_text.h"
#include "common/base/shell_quoted.h"
#include "workers/checkpoint/manifest.h"
#include "workers/stream/row_source.h"
#include "workers/track/wandb_run.h"

namespace anamnesis::agent {
namespace {

std::string Fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

double TokensPerSecond(const RunFigures& figures) {
  return figures.step_seconds > 0
             ? static_cast<double>(figures.global_tokens) / figures.step_seconds
             : 0;
}

Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json TotalsJson(const stream::StreamTotals& totals) {
  return {{"subjects", totals.num_subjects},     {"events", totals.num_events},
          {"cut_events", totals.num_cut_events}, {"documents", totals.num_documents},
          {"pieces", totals.num_pieces},         {"tokens", totals.num_tokens},
          {"labels", totals.num_labels}};
}

std::string ModelPath(const SummaryInput& input) {
  return checkpoint::FinalModelOf(input.output_directory, input.whole_model).directory;
}

// The run's offline folder of W&B; nothing when it was not asked for or could not be made.
std::optional<std::string> WandbFolder(const SummaryInput& input) {
  return track::FindWandbRun(input.output_directory + "/wandb", input.run_id);
}

// Of a classifier, beside the baseline.
std::string EvaluationLines(const SummaryInput& input) {
  const std::map<std::string, double>& evaluation = input.outcome.done[0].evaluation;
  std::string text;
  for (const char* split : {"tuning", "held_out"}) {
    const std::string line = EvaluationText(evaluation, split);
    if (!line.empty())
      text += Cat("  ", split, ":", std::string(9 - std::strlen(split), ' '), " ", line, "\n");
  }
  if (!text.empty()) text += Cat("  report:    ", ModelPath(input), "/evaluation.json\n");
  return text;
}

// What the trackers leave to do, and what they could not write.
std::string TrackersText(const SummaryInput& input) {
  std::string text;
  if (const std::optional<std::string> folder = WandbFolder(input)) {
    text += Cat("  W&B:       wandb sync ", ShellQuoted(*folder), "\n");
  }
  for (const contract::DoneReport& done : input.outcome.done) {
    if (done.tracker_failures == 0) continue;
    text += Cat("  warning:   ", done.tracker_failure, " (", done.tracker_failures,
                " records were late or are missing in the curves; trainer_state.json has all)\n");
  }
  return text;
}

}  // namespace

Json SummaryJson(const SummaryInput& input) {
  const RunFigures& figures = input.figures;
  const bool done = input.outcome.status.ok();
  Json ranks = Json::array();
  for (size_t rank = 0; rank < figures.ranks.size(); ++rank) {
    const RankFigures& own = figures.ranks[rank];
    ranks.push_back({{"rank", rank},
                     {"tokens", own.tokens},
                     {"cpu_seconds", own.cpu_seconds},
                     {"steps", own.steps}});
  }
  Json json = {{"version", 1},
               {"status", done                  ? "done"
                          : input.outcome.saved ? "stopped"
                                                : "failed"},
               {"reason", MessageOf(input.outcome.status)},
               {"run_id", input.run_id},
               {"attempt", input.attempt},
               {"resumed_step", input.resumed_step},
               {"step", figures.last_step},
               {"total_steps", figures.total_steps},
               {"steps_executed", input.steps_executed},
               {"first_loss", Number(figures.first_loss)},
               {"last_loss", Number(figures.last_loss)},
               {"first_tuning_loss",
                figures.first_tuning_loss ? Number(*figures.first_tuning_loss) : Json(nullptr)},
               {"tuning_loss", figures.tuning_loss ? Number(*figures.tuning_loss) : Json(nullptr)},
               {"tokens", figures.global_tokens},
               {"tokens_per_second", TokensPerSecond(figures)},
               {"first_step_seconds", figures.first_step_seconds},
               {"wall_seconds", input.wall_seconds},
               {"bits_not_guaranteed", figures.bits_not_guaranteed},
               {"ranks", ranks},
               {"train", TotalsJson(input.data.train)},
               {"tuning", input.data.plan.tuning_index.empty() ? Json(nullptr)
                                                               : TotalsJson(input.data.tuning)},
               {"adapter", done && !input.whole_model ? Json(ModelPath(input)) : Json(nullptr)},
               {"model", done ? Json(ModelPath(input)) : Json(nullptr)}};
  json["tokens_trained"] =
      input.outcome.done.empty() ? Json(nullptr) : Json(input.outcome.done[0].tokens_trained);
  json["evaluation"] =
      input.outcome.done.empty() ? Json::object() : Json(input.outcome.done[0].evaluation);
  json["wandb_folder"] = WandbFolder(input) ? Json(*WandbFolder(input)) : Json(nullptr);
  json["tracker_failures"] =
      input.outcome.done.empty() ? Json(nullptr) : Json(input.outcome.done[0].tracker_failures);
  json[input.whole_model ? "model_sha256" : "adapter_sha256"] =
      done && !input.outcome.done.empty() ? Json(input.outcome.done[0].final_sha256)
                                          : Json(nullptr);
  return json;
}

std::string SummaryText(const SummaryInput& input) {
  const RunFigures& figures = input.figures;
  if (!input.outcome.status.ok()) {
    std::string text = Cat("after ", figures.last_step, " of ", figures.total_steps,
                           " steps: ", input.advice, "\n");
    if (!input.resume_command.empty()) text += Cat("  continue:  ", input.resume_command, "\n");
    return text;
  }
  std::string text = Cat(
      "done: ", figures.total_steps, " steps, ", ClockText(static_cast<double>(input.wall_seconds)),
      " in all, ", Fixed(TokensPerSecond(figures), 0), " tokens/s in the steps, first step after ",
      Fixed(figures.first_step_seconds, 1), " s\n");
  text += Cat("  loss:      ", Fixed(figures.first_loss, 4), " at the start, ",
              Fixed(figures.last_loss, 4), " at the end\n");
  if (figures.tuning_loss.has_value()) {
    text += Cat("  on tuning: ", Fixed(*figures.tuning_loss, 4), " nats a label\n");
  }
  if (!input.outcome.done.empty()) text += EvaluationLines(input);
  if (!figures.bits_not_guaranteed.empty()) {
    text += Cat("  bits_not_guaranteed: ", figures.bits_not_guaranteed, "\n");
  }
  text += Cat(input.whole_model ? "  model:     " : "  adapter:   ", ModelPath(input), "\n");
  text += Cat("  curves:    tensorboard --logdir ", input.output_directory, "/runs\n");
  text += TrackersText(input);
  const char* opener = input.whole_model
                           ? "from transformers import AutoModelForSequenceClassification as M"
                           : "from peft import AutoPeftModelForCausalLM as M";
  text += Cat("  next:      python3 -c \"", opener, "; print(M.from_pretrained('", ModelPath(input),
              "'))\"\n");
  return text;
}

}  // namespace anamnesis::agent
