// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/verify.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "common/io/file.h"
#include "workers/checkpoint/manifest.h"

namespace anamnesis::agent {
namespace {

Status Verify(const std::string& directory) {
  if (!IsDirectory(directory)) return NotFound(directory, ": no such folder");
  ANAM_ASSIGN_OR_RETURN(const checkpoint::Manifest manifest, checkpoint::ReadManifest(directory));
  ANAM_RETURN_IF_ERROR(checkpoint::VerifyFiles(directory, manifest));
  uint64_t bytes = 0;
  for (const auto& file : manifest.files) bytes += file.size_bytes;
  std::printf("%s: whole: %s of step %lld, %zu files, %llu bytes\n", directory.c_str(),
              manifest.kind.c_str(), static_cast<long long>(manifest.step), manifest.files.size(),
              static_cast<unsigned long long>(bytes));
  return absl::OkStatus();
}

}  // namespace

int VerifyCommand(int argc, char** argv) {
  CLI::App app("Verifies every file of a checkpoint or a final model against its manifest.",
               "anamnesis checkpoint verify");
  app.footer("Example:\n  anamnesis checkpoint verify results/run/checkpoint-50");
  std::string directory;
  app.add_option("dir", directory, "checkpoint-STEP or final_model")->required()->type_name("DIR");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const Status status = Verify(directory);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
  return ExitCodeOf(status);
}

}  // namespace anamnesis::agent
