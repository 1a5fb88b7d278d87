// SPDX-License-Identifier: Apache-2.0
// pull: fetches a model of the hub into the Hugging Face cache of this machine.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "absl/time/clock.h"
#include "common/hub/pull.h"
#include "services/cli/command_line.h"
#include "services/cli/commands.h"
#include "services/cli/interrupt.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

constexpr double kMegabyte = 1e6;

std::string MegabytesText(uint64_t bytes) {
  return Cat(GroupedText(static_cast<int64_t>(static_cast<double>(bytes) / kMegabyte)), " MB");
}

// On standard error: one line that is drawn anew on a terminal, else one a file.
class PullProgress {
 public:
  void Tell(const std::string& file, uint64_t done, uint64_t total) {
    const bool is_new = file != file_;
    file_ = file;
    const absl::Time now = absl::Now();
    if (!draw_) {
      if (is_new) std::cerr << "fetching " << file << (total > 0 ? Text(0, total) : "") << "\n";
      return;
    }
    if (!is_new && done != total && now < next_) return;
    next_ = now + absl::Milliseconds(200);
    std::cerr << "\r\x1b[K" << file << Text(done, total) << std::flush;
    drawn_ = true;
  }

  void End() {
    if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
    drawn_ = false;
  }

 private:
  std::string Text(uint64_t done, uint64_t total) const {
    if (total == 0) return Cat("  ", MegabytesText(done));
    if (!draw_) return Cat("  ", MegabytesText(total));
    return Cat("  ", 100 * done / total, " % of ", MegabytesText(total));
  }

  const bool draw_ = MayDraw(STDERR_FILENO);
  bool drawn_ = false;
  std::string file_;
  absl::Time next_;
};

}  // namespace

int RunPull(const Words& words) {
  hub::PullOptions options;
  CommonFlags flags;
  CLI::App app(
      "Fetch a model into the Hugging Face cache of this machine ($HF_HUB_CACHE, $HF_HOME/hub), "
      "from $HF_ENDPOINT: its configuration, tokenizer and weights, nothing else. A download that "
      "was cut off goes on where it ended. The folder is printed; jobs find the model by its name. "
      "A private or gated model needs $HF_TOKEN.\n\nExample: anamnesis pull ORG/NAME --revision "
      "main",
      "anamnesis pull");
  app.add_option("MODEL", options.model, "ORG/NAME on the hub")->required();
  app.add_option("--revision", options.revision, "Branch, tag or commit")->capture_default_str();
  app.add_option("-o", flags.output, "table, json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}));
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  StatusOr<hub::HubSettings> settings = hub::ReadHubSettings(hub::ProcessEnvironment);
  if (!settings.ok()) return FailWith(settings.status());
  options.settings = *std::move(settings);
  WatchForInterrupt();
  PullProgress progress;
  options.stop = Interrupted;
  options.progress = [&](const std::string& file, uint64_t done, uint64_t total) {
    progress.Tell(file, done, total);
  };
  const StatusOr<hub::Pulled> pulled = hub::PullModel(options);
  progress.End();
  if (!pulled.ok() && pulled.status().code() == absl::StatusCode::kAborted) {
    std::cerr << "interrupted: what has arrived is kept; go on with '"
              << hub::PullCommand(options.model, options.revision) << "'" << std::endl;
    return 130;
  }
  if (!pulled.ok()) return FailWith(pulled.status());
  const Form form = flags.form();
  if (form == Form::kJson || form == Form::kYaml) {
    PrintDocument({{"model", options.model},
                   {"revision", options.revision},
                   {"commit", pulled->commit},
                   {"directory", pulled->directory},
                   {"files", pulled->files},
                   {"fetched_bytes", pulled->fetched_bytes}},
                  form);
  } else {
    std::cout << pulled->directory << std::endl;
  }
  return 0;
}

}  // namespace anamnesis::cli
