// SPDX-License-Identifier: Apache-2.0
// JobService: unary calls answer from the loop's thread or the board and hold no thread; streams
// run on threads of their own.
#pragma once

#include "anamnesis/v1/job_service.grpc.pb.h"
#include "services/coordinator/api_context.h"

namespace anamnesis::coordinator {

using UnaryJobService = v1::JobService::WithCallbackMethod_CreateJob<
    v1::JobService::WithCallbackMethod_GetJob<v1::JobService::WithCallbackMethod_ListJobs<
        v1::JobService::WithCallbackMethod_CancelJob<v1::JobService::WithCallbackMethod_PauseJob<
            v1::JobService::WithCallbackMethod_ResumeJob<v1::JobService::Service>>>>>>;

class JobServiceImpl final : public UnaryJobService {
 public:
  explicit JobServiceImpl(ApiContext& api) : api_(api) {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request,
                                      v1::CreateJobResponse* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request,
                                   v1::GetJobResponse* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::CancelJobResponse* response) override;
  grpc::ServerUnaryReactor* PauseJob(grpc::CallbackServerContext* context,
                                     const v1::PauseJobRequest* request,
                                     v1::PauseJobResponse* response) override;
  grpc::ServerUnaryReactor* ResumeJob(grpc::CallbackServerContext* context,
                                      const v1::ResumeJobRequest* request,
                                      v1::ResumeJobResponse* response) override;

  grpc::Status WatchJobs(grpc::ServerContext* context, const v1::WatchJobsRequest* request,
                         grpc::ServerWriter<v1::WatchJobsResponse>* writer) override;
  grpc::Status StreamLogs(grpc::ServerContext* context, const v1::StreamLogsRequest* request,
                          grpc::ServerWriter<v1::StreamLogsResponse>* writer) override;
  grpc::Status StreamMetrics(grpc::ServerContext* context, const v1::StreamMetricsRequest* request,
                             grpc::ServerWriter<v1::StreamMetricsResponse>* writer) override;

 private:
  ApiContext& api_;
};

}  // namespace anamnesis::coordinator
