// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/verdict.h"

#include <signal.h>
#include <string.h>

#include <algorithm>

#include "common/base/check.h"

namespace anamnesis::gang {
namespace {

std::string AfterStep(int64_t step) {
  return step > 0 ? Cat(" after step ", step) : " before its first step";
}

}  // namespace

const Evidence& PickCulprit(const std::vector<Evidence>& evidence) {
  ANAM_CHECK(!evidence.empty());
  return *std::min_element(
      evidence.begin(), evidence.end(),
      [](const Evidence& a, const Evidence& b) { return a.symptom < b.symptom; });
}

Status Describe(const Evidence& culprit) {
  const std::string who = Cat("rank ", culprit.rank);
  const std::string when = AfterStep(culprit.last_step);
  switch (culprit.symptom) {
    case Symptom::kSignal: {
      const std::string text = Cat(who, " was killed by signal ", culprit.signal, " (",
                                   ::strsignal(culprit.signal), ")", when);
      if (culprit.signal == SIGKILL) return Unavailable(text, "; out of memory is a common reason");
      return culprit.signal == SIGTERM || culprit.signal == SIGINT ? Unavailable(text)
                                                                   : Internal(text);
    }
    case Symptom::kStalled:
      return DeadlineExceeded(who, " sent nothing for too long", when,
                              " and was killed: ", MessageOf(culprit.error));
    case Symptom::kExit:
      return Internal(who, " exited with code ", culprit.exit_code, when, " without finishing");
    case Symptom::kBadMessage:
    case Symptom::kError:
    case Symptom::kPeerError:
      break;
  }
  return AddContext(culprit.error, who + when);
}

}  // namespace anamnesis::gang
