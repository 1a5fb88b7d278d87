// SPDX-License-Identifier: Apache-2.0
// Memory of one QLoRA step on a base of TinyLlama's shape (1.1B parameters): the measured peak
// beside the sum of its parts. Makes a random bf16 base of 2.2 GB in a temporary folder.
//   ninja qlora_memory && bin/qlora_memory [tokens [directory of a base of that shape]]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/philox.h"
#include "tests/support/temporary_folder.h"
#include "workers/adapter/trainable.h"
#include "workers/model/family.h"
#include "workers/model/init.h"
#include "workers/train/optimizer.h"

namespace anamnesis {
namespace {

constexpr double kMegabyte = 1e6;

// A line of /proc/self/status in bytes.
double StatusBytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return 1024.0 * std::stod(line.substr(key.size() + 1));
  }
  return 0;
}

// From here on VmHWM is the peak since now.
void ResetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

model::ModelConfig TinyLlamaShape() {
  model::ModelConfig config = model::FamilyDefaults("llama");
  config.vocab_size = 32000;
  config.hidden_size = 2048;
  config.intermediate_size = 5632;
  config.num_hidden_layers = 22;
  config.num_attention_heads = 32;
  config.num_key_value_heads = 4;
  config.head_dim = 64;
  return config;
}

// In a process of its own, whose memory is not counted.
void MakeBase(const std::string& directory) {
  const pid_t child = fork();
  if (child == 0) {
    const Status made =
        model::WriteRandomModel(TinyLlamaShape(), 1, directory, model::StoredType::kBF16);
    if (!made.ok()) std::cerr << made << "\n";
    _exit(made.ok() ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  if (status != 0) std::exit(1);
}

struct Part {
  const char* name;
  double bytes;
};

// What a step holds at its peak, at the end of the forward pass. T tokens, D hidden, F
// intermediate, L layers, V vocabulary, P adapter parameters.
std::vector<Part> Formula(double program, adapter::TrainableModel* trainable, double tokens) {
  const model::ModelConfig& c = trainable->base().config();
  double packed = 0, largest = 0;
  for (const model::Linear* linear : trainable->base().linears()) {
    if (!linear->packed) continue;
    packed += static_cast<double>(linear->packed->bytes());
    largest =
        std::max(largest, static_cast<double>(linear->in_features() * linear->out_features()));
  }
  const auto d = static_cast<double>(c.hidden_size), f = static_cast<double>(c.intermediate_size);
  const auto layers = static_cast<double>(c.num_hidden_layers);
  const auto vocabulary = static_cast<double>(c.vocab_size);
  const auto parameters = static_cast<double>(trainable->flat_parameters().numel());
  return {{"program and libraries (measured before loading)", program},
          {"linear layers in NF4", packed},
          {"embedding, head, norms in bf16: 2 (2 V D + (2 L + 1) D)",
           2 * (2 * vocabulary * d + (2 * layers + 1) * d)},
          {"adapter, gradient, two moments in fp32: 16 P", 16 * parameters},
          {"activations in bf16, norms' inputs in fp32: T L (22 D + 6 F)",
           tokens * layers * (22 * d + 6 * f)},
          {"the head's chunk of logits: 14 T V", 14 * tokens * vocabulary},
          {"one decoded layer in bf16", 2 * largest}};
}

int Run(int64_t tokens, std::string base) {
  const TemporaryFolder folder;
  if (base.empty()) MakeBase(base = folder.path());
  at::set_num_threads(2);
  at::ones({64, 64}, at::kBFloat16).mm(at::ones({64, 64}, at::kBFloat16));  // starts the libraries
  const double program = StatusBytes("VmRSS");

  ResetPeak();
  contract::ModelPlan plan{.name = "bench", .directory = base, .sha256 = ""};
  plan.dtype = "bfloat16";
  plan.quantisation = "nf4";
  contract::LoraPlan lora;
  lora.r = 16;
  lora.all_linear = true;
  auto loaded = adapter::TrainableModel::Load(plan, lora, 1);
  if (!loaded.ok()) {
    std::cerr << loaded.status() << "\n";
    return 1;
  }
  adapter::TrainableModel& model = **loaded;
  const double peak_of_loading = StatusBytes("VmHWM"), loaded_bytes = StatusBytes("VmRSS");

  std::vector<int32_t> ids;
  PhiloxStream random(2, 0);
  for (int64_t i = 0; i < tokens; ++i) ids.push_back(static_cast<int32_t>(random.Below(32000)));
  const std::vector<int32_t> segments = {static_cast<int32_t>(tokens)};
  const model::PackedBatch batch = model::PackBatch({{model::RowView{ids, segments}}});
  std::vector<train::ParameterSpan> layout;
  for (const auto& parameter : model.parameters()) {
    layout.push_back({parameter.name, parameter.offset, parameter.master.numel()});
  }
  train::AdamW optimizer(train::AdamWOptions(), std::move(layout));
  const auto size = static_cast<size_t>(model.flat_parameters().numel());
  ResetPeak();
  for (int step = 0; step < 2; ++step) {  // the second with all moments touched
    model.ZeroGradient();
    model.LossSum(batch, adapter::DropoutContext()).backward();
    optimizer.Step(1e-4, {model.flat_parameters().mutable_data_ptr<float>(), size},
                   {model.flat_gradient().const_data_ptr<float>(), size});
  }
  const double peak = StatusBytes("VmHWM");

  double sum = 0;
  for (const Part& part : Formula(program, &model, static_cast<double>(tokens))) {
    std::printf("%10.1f MB  %s\n", part.bytes / kMegabyte, part.name);
    sum += part.bytes;
  }
  std::printf("%10.1f MB  formula\n%10.1f MB  measured peak of a step of %lld tokens: %+.1f %%\n",
              sum / kMegabyte, peak / kMegabyte, static_cast<long long>(tokens),
              100 * (peak - sum) / sum);
  std::printf("%10.1f MB  after loading; peak while loading %.1f MB more\n",
              loaded_bytes / kMegabyte, (peak_of_loading - loaded_bytes) / kMegabyte);
  return 0;
}

}  // namespace
}  // namespace anamnesis

int main(int argc, char** argv) {
  return anamnesis::Run(argc > 1 ? std::strtoll(argv[1], nullptr, 10) : 128,
                        argc > 2 ? argv[2] : "");
}
