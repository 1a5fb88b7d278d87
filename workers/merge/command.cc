// SPDX-License-Identifier: Apache-2.0
#include "workers/merge/command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "workers/merge/merge.h"

namespace anamnesis::merge {
namespace {

constexpr int kUsageError = 2;

void Print(const MergeReport& report, const std::string& out) {
  const Parity& parity = report.parity;
  std::printf("merged %lld layers", static_cast<long long>(report.merged_layers));
  for (const std::string& module : report.saved_modules) std::printf(", %s", module.c_str());
  std::printf(" into %s (%s)\n", report.base_directory.c_str(), report.dtype.c_str());
  for (const std::string& note : report.notes) std::printf("note: %s\n", note.c_str());
  std::printf(
      "parity: logits of %lld tokens in %s differ by at most %.3g, %.3g of the largest "
      "(%.3g); %.3g is tolerated\n",
      static_cast<long long>(parity.num_tokens), parity.compute_dtype.c_str(),
      parity.max_difference, parity.relative(), parity.max_logit, parity.tolerance);
  std::printf("%s\n", out.c_str());
}

}  // namespace

int RunMerge(int argc, char** argv) {
  MergeOptions options;
  CLI::App app(
      "Merges a LoRA adapter, ours or PEFT's, into its base: writes a plain Hugging Face model. "
      "Its "
      "logits are compared with those of base and adapter first; where they differ too much "
      "nothing is written.",
      "merge");
  app.footer("Example:\n  anamnesis merge results/quickstart/run/final_model --out merged");
  app.add_option("ADAPTER_DIR", options.adapter_directory, "Folder with adapter_config.json")
      ->required();
  app.add_option("--out", options.out, "New or empty folder for the model")
      ->required()
      ->type_name("DIR");
  app.add_option("--base", options.base,
                 "The base's folder or name (default: as adapter_config.json says)")
      ->type_name("DIR");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool help = error.get_exit_code() == 0;
    app.exit(error);
    return help ? 0 : kUsageError;
  }
  const StatusOr<MergeReport> report = Merge(options);
  if (!report.ok()) {
    std::fprintf(stderr, "error: %s\n", MessageOf(report.status()).c_str());
    return ExitCodeOf(report.status());
  }
  Print(*report, options.out);
  return 0;
}

}  // namespace anamnesis::merge
