// SPDX-License-Identifier: Apache-2.0
// The stage on which scenarios play: one state of the control core, a clock that the script moves,
// and jobs by name. Prints refusals and transitions as they come, and after each block what Decide
// says, when it wants to be asked again, and where the jobs are that the block has changed.
#pragma once

#include <map>
#include <string>

#include "services/core/apply.h"
#include "services/core/decide.h"
#include "tests/scenario/script.h"

namespace anamnesis::scenario {

class CoreStage {
 public:
  CoreStage();

  // Runs the commands of a block and returns what they print.
  std::string Play(const std::vector<std::string>& commands);

 private:
  void Run(const Command& command);
  bool RunByUser(const std::string& name, const Command& command);
  bool RunByCoordinator(const std::string& name, const Command& command);
  bool RunByWorker(const std::string& name, const Command& command);
  bool RunOnStage(const std::string& name, const Command& command);

  void SetOptions(const Command& command);
  void Submit(const Command& command);
  void SeeDevice(const Command& command);
  void PlaceAll();
  void ExpireAll();
  void Launch(core::JobId job);
  // attach, phase, started and the first step.
  void RunUp(const Command& command);
  void Report(const Command& command, decltype(core::Reported::what) what);
  bool Apply(const core::Event& event);

  core::JobId JobOf(const Command& command) const;
  core::Job* Find(const Command& command);
  int64_t EpochOf(const Command& command);
  std::string NameOf(core::JobId job) const;
  void PrintTransition(core::JobId job, const core::Transition& t);
  void Print(const std::string& line) { output_ += line + "\n"; }
  void PrintDecisions();
  void PrintProgress(const core::Job& job);
  std::string Describe(const core::Decision& decision) const;
  std::string Describe(const core::Job& job) const;

  core::State state_;
  core::Options options_;
  core::Now now_;
  std::map<std::string, core::JobId> names_;
  int64_t next_pid_ = 101;
  std::string line_;  // the command being run
  std::string output_;
  std::map<core::JobId, std::string> described_;  // as last printed
};

}  // namespace anamnesis::scenario
