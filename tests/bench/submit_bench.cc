// SPDX-License-Identifier: Apache-2.0
// Durable submits a second as clients see them: `submit_bench ADDRESS CONFIG.yaml CLIENTS SECONDS`
// keeps CLIENTS calls of CreateJob under way, each with a request id and an output folder of its
// own, and prints rate and latencies.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <mutex>
#include <vector>

#include "anamnesis/v1/job_service.grpc.pb.h"
#include "common/io/file.h"
#include "common/rpc/address.h"

namespace anamnesis {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Call {
  grpc::ClientContext context;
  v1::CreateJobRequest request;
  v1::CreateJobResponse response;
  SteadyClock::time_point begin;
};

class Bench {
 public:
  Bench(v1::JobService::Stub& stub, std::string yaml, int clients, double seconds)
      : stub_(stub), yaml_(std::move(yaml)), clients_(clients), live_(clients) {
    end_ = SteadyClock::now() + std::chrono::duration_cast<SteadyClock::duration>(
                                    std::chrono::duration<double>(seconds));
  }

  void Run() {
    const auto begin = SteadyClock::now();
    for (int client = 0; client < clients_; ++client) Start();
    done_.get_future().wait();
    const double seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
    std::sort(latencies_ms_.begin(), latencies_ms_.end());
    const auto at = [&](double quantile) {
      const auto index = static_cast<size_t>(quantile * static_cast<double>(latencies_ms_.size()));
      return latencies_ms_[std::min(index, latencies_ms_.size() - 1)];
    };
    std::printf("%d clients: %.0f submits/s, p50 %.1f ms, p99 %.1f ms, max %.1f ms, %d refused\n",
                clients_, static_cast<double>(latencies_ms_.size()) / seconds, at(0.5), at(0.99),
                latencies_ms_.back(), refused_);
  }

 private:
  void Start() {
    auto* call = new Call;
    const std::string name = Cat("bench-", ::getpid(), "-", next_++);
    v1::JobSpec& spec = *call->request.mutable_spec();
    spec.set_task("pretrain_llm");
    spec.set_config_yaml(yaml_);
    spec.set_working_directory("/tmp");
    spec.add_overrides("training.output_dir=/tmp/anamnesis-bench/" + name);
    call->request.set_request_id(name);
    call->begin = SteadyClock::now();
    stub_.async()->CreateJob(&call->context, &call->request, &call->response,
                             [this, call](const grpc::Status& status) { Finish(call, status); });
  }

  void Finish(Call* call, const grpc::Status& status) {
    const auto now = SteadyClock::now();
    const double took_ms = std::chrono::duration<double, std::milli>(now - call->begin).count();
    delete call;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      latencies_ms_.push_back(took_ms);
      if (!status.ok() && refused_++ == 0) {
        std::fprintf(stderr, "refused: %s\n", status.error_message().c_str());
      }
    }
    if (now < end_) return Start();
    if (--live_ == 0) done_.set_value();
  }

  v1::JobService::Stub& stub_;
  const std::string yaml_;
  const int clients_;
  SteadyClock::time_point end_;
  std::atomic<int> live_;
  std::atomic<int64_t> next_ = 0;
  std::promise<void> done_;
  std::mutex mutex_;
  std::vector<double> latencies_ms_;
  int refused_ = 0;
};

int Main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: submit_bench ADDRESS CONFIG.yaml CLIENTS SECONDS\n", stderr);
    return 2;
  }
  const StatusOr<rpc::Address> address = rpc::ParseAddress(argv[1]);
  const StatusOr<std::string> yaml = ReadFile(argv[2]);
  if (!address.ok() || !yaml.ok()) {
    std::fputs("submit_bench: no such address or file\n", stderr);
    return 2;
  }
  const auto stub = v1::JobService::NewStub(rpc::MakeChannel(*address));
  Bench(*stub, *yaml, std::atoi(argv[3]), std::atof(argv[4])).Run();
  return 0;
}

}  // namespace
}  // namespace anamnesis

int main(int argc, char** argv) { return anamnesis::Main(argc, argv); }
