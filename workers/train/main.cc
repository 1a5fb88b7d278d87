// SPDX-License-Identifier: Apache-2.0
// anamnesis-rank PLAN.json [--channel-fd N] | --predict PLAN.json | --check-model DIR: one rank of
// a gang, or one alone by hand.
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "workers/infer/generate_command.h"
#include "workers/merge/command.h"
#include "workers/model/config.h"
#include "workers/model/weight_files.h"
#include "workers/train/predict.h"
#include "workers/train/rank_channel.h"
#include "workers/train/train_plans.h"

namespace anamnesis {
namespace {

constexpr char kUsage[] =
    "usage: anamnesis-rank PLAN.json [--channel-fd N]\n"
    "       anamnesis-rank --predict PLAN.json\n"
    "       anamnesis-rank --check-model DIR\n"
    "       anamnesis-rank merge ADAPTER_DIR --out DIR\n"
    "       anamnesis-rank generate MODEL_DIR --prompt TEXT|-\n"
    "Trains what PLAN.json says (docs/formats/plan.md), predicts what it says "
    "(docs/prediction.md), "
    "or checks that DIR holds a model that can be trained.\n"
    "Example: anamnesis-rank out/.anamnesis/plan-rank-0.json\n";

train::RankChannel* signalled_channel = nullptr;

void OnStopSignal(int) {
  if (signalled_channel != nullptr) signalled_channel->RequestStop();
}

void StopOnSignals(train::RankChannel* channel) {
  signalled_channel = channel;
  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// A model directory as far as it can be told without reading the weights.
Status CheckModel(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const model::ModelConfig config, model::ReadModelConfig(directory));
  ANAM_ASSIGN_OR_RETURN(const model::WeightFiles weights, model::WeightFiles::Open(directory));
  return weights.CheckAgainst(model::ExpectedTensors(config));
}

// For the worker: on stdout how far it is, "progress scoring DONE TOTAL", or why it failed.
int PredictPlan(const std::string& path) {
  const Status status = train::Predict(path, [](uint64_t done, uint64_t total) {
    std::printf("progress scoring %llu %llu\n", static_cast<unsigned long long>(done),
                static_cast<unsigned long long>(total));
    std::fflush(stdout);
  });
  if (!status.ok()) std::printf("%s\n", MessageOf(status).c_str());
  return ExitCodeOf(status);
}

int Usage() {
  std::fputs(kUsage, stderr);
  return 2;
}

int Main(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "--help" || first == "-h") {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (first == "merge") return merge::RunMerge(argc - 1, argv + 1);
  if (first == "generate") return infer::RunGenerate(argc - 1, argv + 1);
  if (first == "--check-model") {
    return argc == 3 ? train::ReportEnd(CheckModel(argv[2]), nullptr) : Usage();
  }
  if (first == "--predict") return argc == 3 ? PredictPlan(argv[2]) : Usage();
  if (first.empty() || first.starts_with("-") || (argc != 2 && argc != 4)) return Usage();
  std::optional<int> fd;
  if (argc == 4) {
    int number = -1;
    const char* end = argv[3] + std::strlen(argv[3]);
    const auto [stop, error] = std::from_chars(argv[3], end, number);
    if (std::string_view(argv[2]) != "--channel-fd" || error != std::errc() || stop != end ||
        number < 0) {
      return Usage();
    }
    fd = number;
  }
  // shared: the rendezvous store inside the process group keeps the channel too.
  const auto channel = std::make_shared<train::RankChannel>(fd);
  StopOnSignals(channel.get());
  return train::ReportEnd(train::TrainPlans(std::string(first), channel), channel.get());
}

}  // namespace
}  // namespace anamnesis

int main(int argc, char** argv) {
  // Torch's threads and libraries have nothing to say at exit; reports are already out.
  const int code = anamnesis::Main(argc, argv);
  std::fflush(nullptr);
  _exit(code);
}
