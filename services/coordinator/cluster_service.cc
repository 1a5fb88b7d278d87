// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/cluster_service.h"

#include <utility>

#include "absl/time/time.h"
#include "common/process/identity.h"
#include "common/rpc/status.h"

namespace anamnesis::coordinator {
namespace {

constexpr char kNodePrefix[] = "nodes/";
constexpr size_t kMaxMessageBytes = 1000;

v1::NodeState StateOf(const core::State& state) {
  if (!state.cordon) return v1::NODE_STATE_READY;
  if (!state.cordon->drains) return v1::NODE_STATE_CORDONED;
  return state.sessions.empty() ? v1::NODE_STATE_DRAINED : v1::NODE_STATE_DRAINING;
}

grpc::ServerUnaryReactor* FinishWith(grpc::CallbackServerContext* context, const Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(rpc::ToGrpc(status));
  return reactor;
}

Status CheckMessage(const std::string& message) {
  if (message.size() <= kMaxMessageBytes) return absl::OkStatus();
  return InvalidArgument("message: ", message.size(), " bytes, at most ", kMaxMessageBytes);
}

}  // namespace

v1::Node NodeOf(const core::State& state, const LoopOptions& options, const std::string& name) {
  v1::Node node;
  node.set_name(kNodePrefix + name);
  node.set_device(options.device);
  node.set_threads_per_slot(static_cast<int32_t>(options.threads_per_slot));
  for (int64_t slot = 0; slot < options.core.num_slots; ++slot) {
    v1::Slot* out = node.add_slots();
    out->set_index(static_cast<int32_t>(slot));
    const auto fault = state.slot_faults.find(slot);
    if (fault != state.slot_faults.end()) out->set_fault(fault->second);
  }
  for (const auto& [key, session] : state.sessions) {
    for (const int64_t slot : state.Find(key.first)->attempts.back().slots) {
      if (slot >= options.core.num_slots) continue;  // of a start with more
      node.mutable_slots(static_cast<int>(slot))->set_job(NameOf(key.first));
    }
  }
  node.set_state(StateOf(state));
  if (state.cordon) {
    v1::Cordon& cordon = *node.mutable_cordon();
    cordon.set_actor(state.cordon->actor);
    cordon.set_message(state.cordon->message);
    const int64_t micros = absl::ToUnixMicros(state.cordon->time);
    cordon.mutable_create_time()->set_seconds(micros / 1'000'000);
    cordon.mutable_create_time()->set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
  }
  return node;
}

ClusterServiceImpl::ClusterServiceImpl(ApiContext& api)
    : api_(api), name_(api.launcher.name() == "local" ? HostName() : api.launcher.name()) {}

grpc::ServerUnaryReactor* ClusterServiceImpl::GetCluster(grpc::CallbackServerContext* context,
                                                         const v1::GetClusterRequest*,
                                                         v1::GetClusterResponse* response) {
  const Status allowed = api_.Authorize(*context);
  if (!allowed.ok()) return FinishWith(context, allowed);
  response->set_version(api_.options.version);
  response->set_data_directory(api_.loop.options().data_directory);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  api_.loop.Ask([this, reactor, response](const core::State* state) {
    if (state != nullptr) *response->add_nodes() = NodeOf(*state, api_.loop.options(), name_);
    reactor->Finish(state != nullptr ? grpc::Status::OK
                                     : rpc::ToGrpc(Unavailable("the coordinator ends")));
  });
  return reactor;
}

Status ClusterServiceImpl::Check(const grpc::CallbackServerContext& context,
                                 const std::string& name) const {
  ANAM_RETURN_IF_ERROR(api_.Authorize(context));
  if (name.empty() || name == name_ || name == kNodePrefix + name_) return absl::OkStatus();
  return NotFound("no such node; there is ", kNodePrefix, name_,
                  name_ == HostName() ? "" : ", and its nodes are the engine's to cordon");
}

grpc::ServerUnaryReactor* ClusterServiceImpl::Change(grpc::CallbackServerContext* context,
                                                     const std::string& name, core::Event event,
                                                     v1::Node* node) {
  if (const Status wrong = Check(*context, name); !wrong.ok()) return FinishWith(context, wrong);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  api_.loop.Post(std::move(event), [this, reactor, node](const StatusOr<Loop::Applied>& applied) {
    if (!applied.ok()) return reactor->Finish(rpc::ToGrpc(applied.status()));
    api_.loop.Ask([this, reactor, node](const core::State* state) {
      if (state != nullptr) *node = NodeOf(*state, api_.loop.options(), name_);
      reactor->Finish(grpc::Status::OK);
    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* ClusterServiceImpl::CordonNode(grpc::CallbackServerContext* context,
                                                         const v1::CordonNodeRequest* request,
                                                         v1::CordonNodeResponse* response) {
  const Status wrong = CheckMessage(request->message());
  if (!wrong.ok()) return FinishWith(context, wrong);
  return Change(
      context, request->name(),
      core::CordonNode{
          .drains = false, .actor = api_.ActorOf(*context), .message = request->message()},
      response->mutable_node());
}

grpc::ServerUnaryReactor* ClusterServiceImpl::DrainNode(grpc::CallbackServerContext* context,
                                                        const v1::DrainNodeRequest* request,
                                                        v1::DrainNodeResponse* response) {
  const Status wrong = CheckMessage(request->message());
  if (!wrong.ok()) return FinishWith(context, wrong);
  return Change(context, request->name(),
                core::CordonNode{
                    .drains = true, .actor = api_.ActorOf(*context), .message = request->message()},
                response->mutable_node());
}

grpc::ServerUnaryReactor* ClusterServiceImpl::UncordonNode(grpc::CallbackServerContext* context,
                                                           const v1::UncordonNodeRequest* request,
                                                           v1::UncordonNodeResponse* response) {
  return Change(context, request->name(), core::UncordonNode{.actor = api_.ActorOf(*context)},
                response->mutable_node());
}

}  // namespace anamnesis::coordinator
