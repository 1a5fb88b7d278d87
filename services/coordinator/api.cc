// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/api.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <charconv>

#include "anamnesis/v1/checkpoint_service.grpc.pb.h"
#include "common/rpc/status.h"
#include "services/coordinator/api_context.h"
#include "services/coordinator/cluster_service.h"
#include "services/coordinator/convert.h"
#include "services/coordinator/job_service.h"

namespace anamnesis::coordinator {
namespace {

class CheckpointServiceImpl final : public v1::CheckpointService::Service {
 public:
  explicit CheckpointServiceImpl(ApiContext& api) : api_(api) {}

  grpc::Status ListCheckpoints(grpc::ServerContext* context,
                               const v1::ListCheckpointsRequest* request,
                               v1::ListCheckpointsResponse* response) override {
    if (const Status allowed = api_.Authorize(*context); !allowed.ok()) return rpc::ToGrpc(allowed);
    const StatusOr<JobSnapshot> job = api_.FindJob(request->parent());
    if (!job.ok()) return rpc::ToGrpc(job.status());
    const StatusOr<std::vector<core::Checkpoint>> all = api_.store.Checkpoints((*job)->id);
    if (!all.ok()) return rpc::ToGrpc(all.status());
    // A token is the number of checkpoints already sent.
    int64_t begin = 0;
    if (!request->page_token().empty()) {
      const std::string& token = request->page_token();
      const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), begin);
      if (error != std::errc() || end != token.data() + token.size() || begin < 0) {
        return rpc::ToGrpc(InvalidArgument("page_token: not one of ours"));
      }
    }
    if (request->page_size() < 0) {
      return rpc::ToGrpc(InvalidArgument("page_size: ", request->page_size(), " is negative"));
    }
    const int64_t size = request->page_size() == 0 ? 50 : std::min(request->page_size(), 1000);
    const auto total = static_cast<int64_t>(all->size());
    const int64_t end = std::min(total, begin + size);
    if (end < total) response->set_next_page_token(std::to_string(end));
    for (int64_t index = begin; index < end; ++index) {
      const core::Checkpoint& checkpoint = (*all)[static_cast<size_t>(index)];
      v1::Checkpoint* out = response->add_checkpoints();
      *out = ToProto((*job)->id, checkpoint);
      out->set_state(PathExists(checkpoint.path + "/manifest.json") ? v1::CHECKPOINT_STATE_COMMITTED
                                                                    : v1::CHECKPOINT_STATE_DELETED);
    }
    return grpc::Status::OK;
  }

 private:
  ApiContext& api_;
};

}  // namespace

Status ApiContext::Authorize(const grpc::ServerContextBase& context) const {
  if (options.token.empty()) return absl::OkStatus();
  const std::string expected = "Bearer " + options.token;
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  if (found != metadata.end() && found->second.size() == expected.size() &&
      ::CRYPTO_memcmp(found->second.data(), expected.data(), expected.size()) == 0) {
    return absl::OkStatus();
  }
  return Status(absl::StatusCode::kUnauthenticated,
                "this address needs the coordinator's token: authorization: Bearer TOKEN");
}

std::string ApiContext::ActorOf(const grpc::ServerContextBase&) const { return "user"; }

StatusOr<JobSnapshot> ApiContext::FindJob(const std::string& name) const {
  ANAM_ASSIGN_OR_RETURN(const core::JobId id, JobIdFromName(name));
  JobSnapshot job = board.Find(id);
  if (job == nullptr) return NotFound("no job ", NameOf(id));
  return job;
}

struct Api::Services {
  ApiContext context;
  JobServiceImpl jobs{context};
  CheckpointServiceImpl checkpoints{context};
  ClusterServiceImpl cluster{context};
};

Api::Api(ApiOptions options, Loop& loop, Board& board, store::Store& store,
         const launch::Launcher& launcher)
    : services_(new Services{.context = {std::move(options), loop, board, store, launcher}}) {}
Api::~Api() = default;

void Api::Register(grpc::ServerBuilder* builder) {
  builder->RegisterService(&services_->jobs);
  builder->RegisterService(&services_->checkpoints);
  builder->RegisterService(&services_->cluster);
}

}  // namespace anamnesis::coordinator
