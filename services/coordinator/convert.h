// SPDX-License-Identifier: Apache-2.0
// Between the messages of the API and the values of the control core. Pure.
#pragma once

#include <string>

#include "anamnesis/v1/checkpoint_service.pb.h"
#include "anamnesis/v1/job.pb.h"
#include "anamnesis/v1/job_service.pb.h"
#include "anamnesis/v1/worker_service.pb.h"
#include "services/core/event.h"
#include "services/store/store.h"

namespace anamnesis::coordinator {

// jobs/17 or 17; kInvalidArgument otherwise.
StatusOr<core::JobId> JobIdFromName(const std::string& name);

v1::JobState ToProto(core::JobState state);
v1::AttemptState ToProto(core::AttemptState state);
v1::Reason ToProto(core::Reason reason);
StatusOr<core::JobState> FromProto(v1::JobState state);
core::Reason FromProto(v1::Reason reason);  // unknown: kInternal

v1::JobSpec ToProto(const core::JobSpec& spec);
// Without transitions and the resolved spec.
v1::Job ToProto(const core::Job& job);
v1::Transition ToProto(const core::Transition& transition);
v1::Checkpoint ToProto(core::JobId job, const core::Checkpoint& checkpoint);
v1::MetricPoint ToProto(const store::MetricPoint& point);

// kInvalidArgument for a report without content.
StatusOr<core::Reported> FromProto(core::JobId job, const v1::Report& report);
// The metric row of a step or an evaluation; nothing for other reports.
std::optional<store::MetricPoint> PointOf(const core::Reported& report);

}  // namespace anamnesis::coordinator
