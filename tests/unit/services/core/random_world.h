// SPDX-License-Identifier: Apache-2.0
// A world in which anything happens to the control core, in an order drawn from a seed: users'
// wishes, decisions carried out or not, workers that speak, fall silent, speak too late or twice,
// restarts. Every event is checked against a second, naive account of what must hold.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "services/core/apply.h"
#include "services/core/decide.h"

namespace anamnesis::core {

class RandomWorld {
 public:
  explicit RandomWorld(uint64_t seed);

  // One random event, checked.
  void Happen();
  // Decide must say the same until NextWake's moment.
  void CheckWake() const;
  // Users cancel every job, every process ends.
  void CancelAll();
  // Nobody disturbs any more: decisions are carried out, workers do their work. True when every job
  // has come to its end.
  bool WorkInPeace(int64_t max_rounds);

  const State& state() const { return state_; }
  int64_t num_accepted() const { return num_accepted_; }
  int64_t num_refused() const { return num_refused_; }
  int64_t num_ended(JobState state) const;

 private:
  bool Do(const Event& event);
  Event AnyEvent();
  Event AnyReport(JobId job, int64_t epoch);
  JobId AnyJob();
  int64_t AnyEpoch(JobId job);
  void CarryOut(const Decision& decision);
  void CarryOutSome(double probability);
  void Work(const Job& job);
  void Restart();
  void HappenToNode();
  void CheckSlotsByHand() const;
  void CheckFollowing(const Job& job) const;
  void CheckHistory(const Event& event, const Outcome& outcome);

  int64_t Draw(int64_t below) { return std::uniform_int_distribution<int64_t>(0, below - 1)(rng_); }
  bool Chance(double probability) { return std::bernoulli_distribution(probability)(rng_); }

  std::mt19937_64 rng_;
  State state_;
  Options options_;
  Now now_;
  int64_t next_token_ = 1;
  int64_t num_accepted_ = 0, num_refused_ = 0;
  std::map<JobId, std::string> ended_;                            // what the job was when it ended
  std::map<std::pair<JobId, int64_t>, int64_t> committed_steps_;  // by job and epoch
  std::map<JobId, int64_t> epochs_;
};

}  // namespace anamnesis::core
