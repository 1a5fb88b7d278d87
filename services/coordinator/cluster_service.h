// SPDX-License-Identifier: Apache-2.0
// ClusterService: the node, its slots and its cordon, as the loop's state has them. Thread-safe.
#pragma once

#include "anamnesis/v1/cluster_service.grpc.pb.h"
#include "services/coordinator/api_context.h"

namespace anamnesis::coordinator {

// `name` is what the node is called, without nodes/.
v1::Node NodeOf(const core::State& state, const LoopOptions& options, const std::string& name);

class ClusterServiceImpl final : public v1::ClusterService::CallbackService {
 public:
  explicit ClusterServiceImpl(ApiContext& api);

  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext* context,
                                       const v1::GetClusterRequest* request,
                                       v1::GetClusterResponse* response) override;
  grpc::ServerUnaryReactor* CordonNode(grpc::CallbackServerContext* context,
                                       const v1::CordonNodeRequest* request,
                                       v1::CordonNodeResponse* response) override;
  grpc::ServerUnaryReactor* DrainNode(grpc::CallbackServerContext* context,
                                      const v1::DrainNodeRequest* request,
                                      v1::DrainNodeResponse* response) override;
  grpc::ServerUnaryReactor* UncordonNode(grpc::CallbackServerContext* context,
                                         const v1::UncordonNodeRequest* request,
                                         v1::UncordonNodeResponse* response) override;

 private:
  Status Check(const grpc::CallbackServerContext& context, const std::string& name) const;
  // Once the event is durable, the node as it is then.
  grpc::ServerUnaryReactor* Change(grpc::CallbackServerContext* context, const std::string& name,
                                   core::Event event, v1::Node* node);

  ApiContext& api_;
  const std::string name_;
};

}  // namespace anamnesis::coordinator
