// SPDX-License-Identifier: Apache-2.0
// A job's spec as it comes in, checked and resolved with the one table of configuration keys. Pure
// but for the roots' links.
#pragma once

#include <string>
#include <vector>

#include "anamnesis/v1/job_service.pb.h"
#include "services/core/event.h"

namespace anamnesis::coordinator {

struct SubmissionRules {
  std::vector<std::string> roots;  // absolute; paths of a spec lie beneath one; none: anywhere
  int64_t num_slots = 1;
};

// kInvalidArgument with a violation for each bad key or field; kUnimplemented for what is not built
// yet; kPermissionDenied for a path outside the roots; kFailedPrecondition for more ranks than
// slots.
StatusOr<core::Submit> MakeSubmission(const v1::CreateJobRequest& request, const std::string& actor,
                                      const SubmissionRules& rules);

}  // namespace anamnesis::coordinator
