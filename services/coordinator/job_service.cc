// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/job_service.h"

#include <charconv>

#include "common/rpc/status.h"
#include "services/coordinator/convert.h"

namespace anamnesis::coordinator {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

constexpr int32_t kDefaultPage = 50;
constexpr int32_t kMaxPage = 1000;

ServerUnaryReactor* Done(CallbackServerContext* context, const Status& status) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(rpc::ToGrpc(status));
  return reactor;
}

// Posts the event; the answer carries the job as it is then.
template <typename Response>
ServerUnaryReactor* PostAndAnswer(Loop& loop, CallbackServerContext* context, core::Event event,
                                  Response* response) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  loop.Post(std::move(event), [reactor, response](const StatusOr<Loop::Applied>& applied) {
    if (applied.ok()) *response->mutable_job() = ToProto(*applied->job);
    reactor->Finish(rpc::ToGrpc(applied.status()));
  });
  return reactor;
}

// The pages go down in ids: a token is the id above the next one.
StatusOr<core::JobId> PageStart(const std::string& token) {
  if (token.empty()) return core::JobId{std::numeric_limits<int64_t>::max()};
  int64_t id = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), id);
  if (error != std::errc() || end != token.data() + token.size() || id < 1) {
    return InvalidArgument("page_token: not one of ours");
  }
  return core::JobId{id};
}

}  // namespace

ServerUnaryReactor* JobServiceImpl::CreateJob(CallbackServerContext* context,
                                              const v1::CreateJobRequest* request,
                                              v1::CreateJobResponse* response) {
  if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return Done(context, allowed);
  if (!request->launcher().empty() && request->launcher() != api_.launcher.name()) {
    return Done(context,
                FailedPrecondition("launcher: this coordinator runs jobs by ", api_.launcher.name(),
                                   "; one of 'anamnesis up --launcher ", request->launcher(),
                                   "' is wanted (--coordinator says which one is asked)"));
  }
  StatusOr<core::Submit> submission =
      MakeSubmission(*request, api_.ActorOf(*context), api_.options.rules);
  if (!submission.ok()) return Done(context, submission.status());
  if (!request->validate_only()) {
    return PostAndAnswer(api_.loop, context, *std::move(submission), response);
  }
  if (const auto after = submission->spec.after) {
    const Status followed = core::CheckFollowed(*after, api_.board.Find(*after).get());
    if (!followed.ok()) return Done(context, followed);
  }
  core::Job job;
  job.spec = submission->spec;
  job.resolved = submission->resolved;
  *response->mutable_job() = ToProto(job);
  response->mutable_job()->clear_name();
  response->mutable_job()->set_resolved_spec_json(job.resolved.spec_json.str());
  return Done(context, absl::OkStatus());
}

ServerUnaryReactor* JobServiceImpl::GetJob(CallbackServerContext* context,
                                           const v1::GetJobRequest* request,
                                           v1::GetJobResponse* response) {
  if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return Done(context, allowed);
  const StatusOr<JobSnapshot> job = api_.FindJob(request->name());
  if (!job.ok()) return Done(context, job.status());
  *response->mutable_job() = ToProto(**job);
  if (!request->full()) return Done(context, absl::OkStatus());
  const StatusOr<std::vector<core::Transition>> transitions = api_.store.Transitions((*job)->id);
  if (!transitions.ok()) return Done(context, transitions.status());
  for (const core::Transition& transition : *transitions) {
    *response->mutable_job()->add_transitions() = ToProto(transition);
  }
  response->mutable_job()->set_resolved_spec_json((*job)->resolved.spec_json.str());
  ServerUnaryReactor* reactor = context->DefaultReactor();
  api_.loop.Ask([this, reactor, response, id = (*job)->id](const core::State* state) {
    if (state == nullptr) return reactor->Finish(rpc::ToGrpc(Unavailable("the coordinator ends")));
    const core::Now now{absl::Now(), Clock::System().Monotonic()};
    response->mutable_job()->set_explanation(
        core::Explain(*state, id, now, api_.loop.options().core));
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

ServerUnaryReactor* JobServiceImpl::ListJobs(CallbackServerContext* context,
                                             const v1::ListJobsRequest* request,
                                             v1::ListJobsResponse* response) {
  if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return Done(context, allowed);
  if (request->page_size() < 0) {
    return Done(context, InvalidArgument("page_size: ", request->page_size(), " is negative"));
  }
  const StatusOr<core::JobId> start = PageStart(request->page_token());
  if (!start.ok()) return Done(context, start.status());
  std::vector<core::JobState> states;
  for (const int wanted : request->states()) {
    const StatusOr<core::JobState> state = FromProto(static_cast<v1::JobState>(wanted));
    if (!state.ok()) return Done(context, state.status());
    states.push_back(*state);
  }
  const int32_t size =
      request->page_size() == 0 ? kDefaultPage : std::min(request->page_size(), kMaxPage);
  const std::vector<JobSnapshot> jobs =
      api_.board.List(*start, static_cast<size_t>(size) + 1, states);
  for (const JobSnapshot& job : jobs) {
    if (response->jobs_size() == size) {
      response->set_next_page_token(
          std::to_string(static_cast<int64_t>(jobs[static_cast<size_t>(size) - 1]->id)));
      break;
    }
    *response->add_jobs() = ToProto(*job);
    response->mutable_jobs(response->jobs_size() - 1)->mutable_spec()->clear_config_yaml();
  }
  return Done(context, absl::OkStatus());
}

ServerUnaryReactor* JobServiceImpl::CancelJob(CallbackServerContext* context,
                                              const v1::CancelJobRequest* request,
                                              v1::CancelJobResponse* response) {
  if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return Done(context, allowed);
  const StatusOr<JobSnapshot> job = api_.FindJob(request->name());
  if (!job.ok()) return Done(context, job.status());
  core::Cancel cancel{.job = (*job)->id, .actor = api_.ActorOf(*context)};
  if (request->has_grace()) {
    cancel.grace =
        absl::Seconds(request->grace().seconds()) + absl::Nanoseconds(request->grace().nanos());
    if (cancel.grace < absl::ZeroDuration()) {
      return Done(context, InvalidArgument("grace: is negative"));
    }
  }
  return PostAndAnswer(api_.loop, context, std::move(cancel), response);
}

ServerUnaryReactor* JobServiceImpl::PauseJob(CallbackServerContext* context,
                                             const v1::PauseJobRequest* request,
                                             v1::PauseJobResponse* response) {
  if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return Done(context, allowed);
  const StatusOr<JobSnapshot> job = api_.FindJob(request->name());
  if (!job.ok()) return Done(context, job.status());
  return PostAndAnswer(api_.loop, context,
                       core::Pause{.job = (*job)->id, .actor = api_.ActorOf(*context)}, response);
}

ServerUnaryReactor* JobServiceImpl::ResumeJob(CallbackServerContext* context,
                                              const v1::ResumeJobRequest* request,
                                              v1::ResumeJobResponse* response) {
  if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return Done(context, allowed);
  const StatusOr<JobSnapshot> job = api_.FindJob(request->name());
  if (!job.ok()) return Done(context, job.status());
  return PostAndAnswer(api_.loop, context,
                       core::Resume{.job = (*job)->id, .actor = api_.ActorOf(*context)}, response);
}

}  // namespace anamnesis::coordinator
