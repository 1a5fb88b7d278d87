// SPDX-License-Identifier: Apache-2.0
// A control core in a picture: jobs brought to a state in one line, on a clock that the test moves.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "services/core/apply.h"
#include "services/core/decide.h"

namespace anamnesis::core {

struct Picture {
  State state;
  Options options;
  Now now{absl::FromUnixSeconds(1'700'000'000), absl::Seconds(1000)};
  int64_t next_token = 1;

  explicit Picture(int64_t num_slots = 2) { options.num_slots = num_slots; }

  StatusOr<Outcome> Try(const Event& event) { return Apply(&state, event, now, options); }
  Outcome Do(const Event& event) {
    StatusOr<Outcome> outcome = Try(event);
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return outcome.ok() ? *std::move(outcome) : Outcome{};
  }
  void Tick(absl::Duration step) {
    now.wall += step;
    now.monotonic += step;
  }

  core::Submit Wish(const std::string& name, int64_t ranks = 1) const {
    core::Submit submit;
    submit.spec.config_name = name;
    submit.resolved.ranks = ranks;
    submit.resolved.output_dir = "/out/" + name;
    submit.actor = "user:ann";
    return submit;
  }
  JobId Queued(const std::string& name, int64_t ranks = 1) { return *Do(Wish(name, ranks)).job; }
  // Placed on the lowest free slots, its worker launched.
  JobId Assigned(const std::string& name, int64_t ranks = 1) {
    const JobId id = Queued(name, ranks);
    std::vector<int64_t> slots = FreeSlots(state, options);
    slots.resize(static_cast<size_t>(ranks));
    Do(Assign{id, slots, Cat("token ", next_token++), false});
    Do(Launched{id, 1, {"here", "boot", 100 + static_cast<int64_t>(id), 7}});
    return id;
  }
  JobId Running(const std::string& name, int64_t ranks = 1) {
    const JobId id = Assigned(name, ranks);
    Do(Attached{id, 1, job(id).attempts.back().token, false, "here", 1});
    Report(id, PhaseReported{AttemptState::kRendezvous, "model", 0, 0});
    Step(id, 1);
    return id;
  }
  Outcome Report(JobId id, decltype(Reported::what) what) {
    return Do(Reported{id, job(id).attempts.back().epoch, job(id).acknowledged_sequence + 1,
                       now.wall, std::move(what)});
  }
  Outcome Step(JobId id, int64_t step) {
    StepReported report;
    report.step = step;
    report.tokens = 10;
    report.seconds = 1;
    return Report(id, report);
  }
  Job& job(JobId id) { return *state.Find(id); }
};

}  // namespace anamnesis::core
