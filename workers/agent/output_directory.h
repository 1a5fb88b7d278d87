// SPDX-License-Identifier: Apache-2.0
// The rules of training.output_dir (service.md, Security): a folder of ours carries the marker
// `.anamnesis/`; a lock in it, inherited by the ranks, keeps two gangs apart; nothing of others is
// ever deleted.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "common/io/file.h"

namespace anamnesis::agent {

inline constexpr char kMarker[] = ".anamnesis";

enum class OutputState {
  kEmpty,    // not there, or an empty folder
  kOurs,     // carries the marker with a run's record
  kForeign,  // holds something, without the marker
};

enum class OutputAction {
  kStart,      // a new run in an empty folder
  kReplace,    // our earlier run is removed first
  kMoveAside,  // the foreign folder is renamed first
  kResume,     // continue the run that is there
};

// Pure: what is to be done, or kAlreadyExists with what the user can do instead.
StatusOr<OutputAction> ChooseOutputAction(const std::string& directory, OutputState state,
                                          bool overwrite, bool resume);

// Looks, changes nothing. kInvalidArgument when the path is no folder.
StatusOr<OutputState> LookAtOutput(const std::string& directory);

struct OutputDirectory {
  std::string directory;
  std::string marker;   // directory/.anamnesis
  FileDescriptor lock;  // held by this process and the ranks
  OutputAction action = OutputAction::kStart;
  std::string moved_to;  // where a foreign folder went
};

// Chooses and acts: makes the folder and its marker, takes the lock (kAlreadyExists when another
// gang holds it; waits up to `patience` for one that is about to end), removes what an earlier run
// of ours left, or moves a foreign folder aside.
struct OpenRules {
  bool overwrite = false;
  bool resume = false;
  absl::Duration patience = absl::ZeroDuration();
  // The coordinator fences earlier attempts by epoch: a lock that one of them still holds is passed
  // by.
  bool fenced = false;
};
StatusOr<OutputDirectory> OpenOutput(const std::string& directory, const OpenRules& rules);

}  // namespace anamnesis::agent
