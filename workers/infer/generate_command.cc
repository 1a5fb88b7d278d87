// SPDX-License-Identifier: Apache-2.0
#include "workers/infer/generate_command.h"

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

#include "workers/infer/generate.h"
#include "workers/infer/language_model.h"
#include "workers/train/status_from_torch.h"

namespace anamnesis::infer {
namespace {

constexpr int kUsageError = 2, kInterrupted = 130;

struct Command {
  std::string model;
  std::string prompt;
  GenerateOptions options;
};

// Nothing is on disk that a sudden end could leave half done.
void EndOnInterrupt() {
  struct sigaction action = {};
  action.sa_handler = [](int) { ::_exit(kInterrupted); };
  ::sigaction(SIGINT, &action, nullptr);
}

int WrongUsage(const std::string& what) {
  std::cerr << "error: " << what << "\nRun anamnesis generate --help for more information.\n";
  return kUsageError;
}

// What the shell cut a prompt without quotes into is never repeated.
int ExplainParseError(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const bool extra = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  return WrongUsage(extra ? "words that belong to no flag: quote a prompt of several words"
                          : error.what());
}

// 0 and `proceed` true, or the exit code.
int ParseCommand(int argc, char** argv, Command* command, bool* proceed) {
  *proceed = false;
  CLI::App app("Writes on after a prompt: the continuation alone, on standard output.", "generate");
  app.footer(
      "Examples:\n  anamnesis generate results/text_based/llm_pretrain/final_model --prompt \"AGE, "
      "MALE, \"\n  anamnesis generate final_model --prompt - --temperature 0.8 --top-p 0.95 --seed "
      "7 "
      "< prompt.txt\nA prompt given as TEXT is seen by others in the list of processes; - is not.");
  SamplingOptions& sampling = command->options.sampling;
  app.add_option("model", command->model,
                 "An adapter's folder, a model's, or a run's output folder")
      ->required()
      ->type_name("MODEL_DIR");
  app.add_option("--prompt", command->prompt, "What is continued; - reads standard input")
      ->required()
      ->type_name("TEXT|-");
  app.add_option("--max-new-tokens", command->options.max_new_tokens,
                 "At most so many tokens are written (default 128)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  app.add_option("--temperature", sampling.temperature,
                 "0: the most probable token each time (default); above: drawn")
      ->check(CLI::Range(0.0, 1000.0));
  app.add_option("--top-p", sampling.top_p,
                 "Draw among the most probable tokens that make up this mass (default 1: all)")
      ->check(CLI::Range(1e-9, 1.0));
  app.add_option("--seed", sampling.seed,
                 "Of the draws: the same seed gives the same text "
                 "(default 0)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ExplainParseError(app, error);
  }
  if (sampling.temperature == 0 && (app.count("--top-p") > 0 || app.count("--seed") > 0)) {
    return WrongUsage("--top-p and --seed draw tokens: give --temperature above 0");
  }
  *proceed = true;
  return 0;
}

// Standard input whole, but for one line break at its end.
std::string ReadPrompt() {
  std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// A character that the limit of tokens cut in two decodes to replacement characters at the end.
std::string Whole(std::string text, bool ended) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  while (!ended && text.ends_with(kReplacement)) text.resize(text.size() - kReplacement.size());
  return text;
}

StatusOr<std::string> Continuation(const LanguageModel& model, const Command& command) {
  const text::Tokenizer& tokenizer = model.tokenizer();
  const StatusOr<text::Encoding> encoded = tokenizer.Encode(command.prompt, false);
  if (!encoded.ok()) return AddContext(encoded.status(), "--prompt");
  std::vector<int64_t> ids(tokenizer.prefix_ids().begin(), tokenizer.prefix_ids().end());
  ids.insert(ids.end(), encoded->ids.begin(), encoded->ids.end());
  const int64_t positions = model.decoder().config().max_position_embeddings;
  ANAM_ASSIGN_OR_RETURN(const Generated generated,
                        Generate(model.decoder(), ids, model.generation(), command.options));
  const auto reached = static_cast<int64_t>(ids.size() + generated.ids.size());
  if (reached > positions) {
    std::fprintf(stderr,
                 "note: the text passed the model's %lld positions; what follows them is "
                 "less sound\n",
                 static_cast<long long>(positions));
  }
  ANAM_ASSIGN_OR_RETURN(
      std::string text,
      tokenizer.Decode({generated.ids.begin(), generated.ids.end()}, /*skip_special=*/true));
  return Whole(std::move(text), generated.ended);
}

}  // namespace

int RunGenerate(int argc, char** argv) {
  EndOnInterrupt();
  Command command;
  bool proceed = false;
  if (const int code = ParseCommand(argc, argv, &command, &proceed); !proceed) return code;
  if (command.prompt == "-") command.prompt = ReadPrompt();
  const Status status = train::StatusFromTorch([&]() -> Status {
    ANAM_ASSIGN_OR_RETURN(const auto model, LanguageModel::Open(command.model));
    ANAM_ASSIGN_OR_RETURN(const std::string text, Continuation(*model, command));
    std::cout << text << std::endl;
    if (!std::cout) return Internal("standard output: cannot write");
    return absl::OkStatus();
  });
  if (!status.ok()) std::cerr << "error: " << MessageOf(status) << "\n";
  return ExitCodeOf(status);
}

}  // namespace anamnesis::infer
