// SPDX-License-Identifier: Apache-2.0
// anamnesis-worker: wires the verbs of the worker program.
#include <cstdio>
#include <cstring>

#include "workers/agent/predict.h"
#include "workers/agent/run.h"
#include "workers/agent/serve.h"
#include "workers/agent/verify.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "run") == 0)
    return anamnesis::agent::RunCommand(argc - 1, argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "attempt") == 0)
    return anamnesis::agent::ServeCommand(argc - 1, argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "predict") == 0)
    return anamnesis::agent::PredictCommand(argc - 1, argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "verify-checkpoint") == 0)
    return anamnesis::agent::VerifyCommand(argc - 1, argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("anamnesis-worker %s\n", ANAMNESIS_VERSION);
    return 0;
  }
  const bool help = argc > 1 && std::strcmp(argv[1], "--help") == 0;
  std::fputs("usage: anamnesis-worker run --task TASK CONFIG.yaml …   (run --help says more)\n",
             help ? stdout : stderr);
  return help ? 0 : 2;
}
