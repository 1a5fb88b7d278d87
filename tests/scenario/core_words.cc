// SPDX-License-Identifier: Apache-2.0
// How the stage puts jobs and decisions into lines.
#include <sstream>

#include "tests/scenario/core_stage.h"

namespace anamnesis::scenario {
namespace {

std::string List(const std::vector<int64_t>& numbers) {
  std::string text;
  for (const int64_t number : numbers) text += Cat(text.empty() ? "" : ",", number);
  return text;
}

}  // namespace

std::string CoreStage::NameOf(core::JobId job) const {
  for (const auto& [name, id] : names_) {
    if (id == job) return name;
  }
  return core::NameOf(job);
}

std::string CoreStage::Describe(const core::Decision& decision) const {
  std::ostringstream out;
  if (const auto* place = std::get_if<core::Place>(&decision.what)) {
    out << "place " << NameOf(place->job) << " on " << List(place->slots)
        << (place->keep_worker ? ", worker kept" : "");
  } else if (const auto* stop = std::get_if<core::Stop>(&decision.what)) {
    out << "stop " << NameOf(stop->job) << " epoch " << stop->epoch << " within "
        << absl::FormatDuration(stop->grace);
  } else if (const auto* dismiss = std::get_if<core::Dismiss>(&decision.what)) {
    out << "dismiss " << NameOf(dismiss->job) << " epoch " << dismiss->epoch;
  } else if (const auto* kill = std::get_if<core::Kill>(&decision.what)) {
    out << (kill->at_once ? "kill " : "terminate ") << NameOf(kill->job) << " epoch "
        << kill->epoch;
  } else if (const auto* expire = std::get_if<core::Expire>(&decision.what)) {
    out << "expire " << NameOf(expire->job) << " epoch " << expire->epoch;
  }
  out << " (" << decision.reason << ")";
  return out.str();
}

std::string CoreStage::Describe(const core::Job& job) const {
  std::ostringstream out;
  out << NameOf(job.id) << ": " << core::NameOf(job.state);
  if (!job.attempts.empty()) {
    const core::Attempt& last = job.attempts.back();
    out << "; epoch " << last.epoch << " " << core::NameOf(last.state) << " ("
        << core::NameOf(last.reason) << ")";
    if (last.holds_slots) {
      const core::Session* session = state_.FindSession(job);
      out << ", holds " << List(last.slots) << ", pid " << last.worker.pid
          << (session->attached ? ", attached" : "");
    }
    if (last.first_step > 0) out << ", steps " << last.first_step << "-" << last.last_step;
    if (last.resumed_step > 0) out << ", after " << last.resumed_step;
    if (!last.kept_ranks.empty()) out << ", kept " << List(last.kept_ranks);
    if (last.reattached > 0) out << ", reattached " << last.reattached;
  }
  if (job.latest_checkpoint) {
    out << "; committed " << job.latest_checkpoint->step << " of epoch "
        << job.latest_checkpoint->epoch;
  }
  if (!job.failures.empty()) out << "; failures " << job.failures.size();
  if (job.retry_time) out << "; retry in " << absl::FormatDuration(*job.retry_time - now_.wall);
  return out.str();
}

void CoreStage::PrintProgress(const core::Job& job) {
  const core::Progress& p = job.progress;
  std::ostringstream out;
  out << "progress: '" << p.phase << "' " << p.done << "/" << p.total << ", step " << p.step << "/"
      << p.total_steps << ", " << p.tokens << " tokens, " << p.tokens_per_second << "/s, step "
      << p.step_seconds << " s, executed " << job.steps_executed;
  if (p.eta_seconds) out << ", eta " << *p.eta_seconds << " s";
  if (p.tuning_loss) out << ", tuning loss " << *p.tuning_loss;
  for (const std::string& note : job.resolved.notes) out << ", note: " << note;
  Print(out.str());
}

void CoreStage::PrintDecisions() {
  const auto decisions = core::Decide(state_, now_, options_);
  if (decisions.empty()) Print("decide: nothing");
  for (const core::Decision& decision : decisions) Print("decide: " + Describe(decision));
  const absl::Duration wake = core::NextWake(state_, now_, options_);
  if (wake != absl::InfiniteDuration()) Print("wake in " + absl::FormatDuration(wake));
}

}  // namespace anamnesis::scenario
