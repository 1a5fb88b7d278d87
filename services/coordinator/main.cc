// SPDX-License-Identifier: Apache-2.0
// anamnesis-coordinator: `anamnesis up`.
#include <cstdio>
#include <cstring>

#include "services/coordinator/coordinator.h"

int main(int argc, char** argv) {
  using namespace anamnesis;
  if (argc > 1 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("anamnesis-coordinator %s\n", ANAMNESIS_VERSION);
    return 0;
  }
  int exit_code = 0;
  const auto options = coordinator::ParseUpOptions(argc, argv, &exit_code);
  if (!options.has_value()) return exit_code;
  const Status status = options->detach
                            ? coordinator::DetachCoordinator(*options, ANAMNESIS_VERSION)
                            : coordinator::RunCoordinator(*options, ANAMNESIS_VERSION, [] {});
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
  return ExitCodeOf(status);
}
