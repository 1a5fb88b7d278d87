// SPDX-License-Identifier: Apache-2.0
// How many durable Submits a second the store takes, by the number of them that share a flush; how
// long an open of a grown store takes. store_bench [FOLDER]: a folder on the disk to measure.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "services/store/store.h"

namespace anamnesis::store {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

core::Job MakeJob(int64_t id) {
  core::Job job;
  job.id = core::JobId{id};
  job.request_id = Cat("request-", id, "-0123456789abcdef");
  job.spec.task = "pretrain_llm";
  job.spec.config_yaml = std::string(1024, 'y');
  job.resolved.spec_json = std::string(1024, 'j');
  job.resolved.output_dir = Cat("/data/out/run-", id);
  return job;
}

Status WriteJobs(Store& store, int64_t first, int64_t count) {
  std::vector<core::Job> jobs;
  for (int64_t i = 0; i < count; ++i) jobs.push_back(MakeJob(first + i));
  Batch batch;
  for (const core::Job& job : jobs) {
    batch.jobs[job.id] = &job;
    batch.transitions.emplace_back(job.id, core::Transition());
  }
  return store.Write(batch);
}

Status BenchSubmits(const std::string& folder, int64_t batch_size) {
  const std::string path = Cat(folder, "/bench-", batch_size, ".db");
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, Store::Open(path));
  std::vector<double> latencies;
  const double begin = Seconds();
  int64_t next = 1;
  while (Seconds() < begin + 3) {
    const double before = Seconds();
    ANAM_RETURN_IF_ERROR(WriteJobs(*store, next, batch_size));
    latencies.push_back(Seconds() - before);
    next += batch_size;
  }
  const double elapsed = Seconds() - begin;
  std::sort(latencies.begin(), latencies.end());
  std::printf("batch %3lld: %8.0f Writes/s  %8.0f jobs/s  p50 %.3f ms  p99 %.3f ms\n",
              static_cast<long long>(batch_size), static_cast<double>(latencies.size()) / elapsed,
              static_cast<double>(next - 1) / elapsed, 1e3 * latencies[latencies.size() / 2],
              1e3 * latencies[latencies.size() * 99 / 100]);
  return absl::OkStatus();
}

Status BenchOpen(const std::string& folder) {
  constexpr int64_t kPoints = 1'000'000;
  const std::string path = folder + "/bench-open.db";
  {
    ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, Store::Open(path));
    ANAM_RETURN_IF_ERROR(WriteJobs(*store, 1, 1000));
    const double begin = Seconds();
    for (int64_t step = 0; step < kPoints;) {
      Batch batch;
      for (int i = 0; i < 10'000; ++i, ++step) {
        const MetricPoint point = {
            .step = step,
            .epoch = 1,
            .time = absl::FromUnixSeconds(step),
            .values = {{"loss", 2.345678}, {"grad_norm", 0.98765}, {"learning_rate", 1.5e-4}}};
        batch.points.emplace_back(core::JobId{1 + step % 1000}, point);
      }
      ANAM_RETURN_IF_ERROR(store->Write(batch));
    }
    std::printf("points: %8.0f rows/s in Writes of 10,000\n", kPoints / (Seconds() - begin));
  }
  const double begin = Seconds();
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, Store::Open(path));
  const double opened = Seconds();
  ANAM_ASSIGN_OR_RETURN(const Loaded loaded, store->Load());
  std::printf("%ju MB, %zu jobs, %lld points: Open %.2f s, Load %.3f s\n",
              static_cast<uintmax_t>(std::filesystem::file_size(path) / 1'000'000),
              loaded.jobs.size(), static_cast<long long>(kPoints), opened - begin,
              Seconds() - opened);
  return absl::OkStatus();
}

Status RunAll(const std::string& parent) {
  const std::string folder = parent + "/store_bench";
  std::filesystem::create_directory(folder);
  Status status;
  for (const int64_t batch_size : {1, 16, 64}) status.Update(BenchSubmits(folder, batch_size));
  status.Update(BenchOpen(folder));
  std::filesystem::remove_all(folder);
  return status;
}

}  // namespace
}  // namespace anamnesis::store

int main(int argc, char** argv) {
  const anamnesis::Status status = anamnesis::store::RunAll(argc > 1 ? argv[1] : "/tmp");
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return anamnesis::ExitCodeOf(status);
}
