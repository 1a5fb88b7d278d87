// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/verbs.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/base/civil.h"
#include "common/config/job_config.h"
#include "common/config/predict_config.h"
#include "common/io/file.h"
#include "workers/prep/merge_parts.h"
#include "workers/prep/prepare.h"
#include "workers/prep/render.h"
#include "workers/prep/synth.h"
#include "workers/prep/validate.h"

namespace anamnesis::prep {
namespace {

// Parses; 0 and `proceed` true, or the exit code (0 after --help, 2 on a usage error).
int Parse(CLI::App& app, int argc, char** argv, bool* proceed) {
  *proceed = false;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  *proceed = true;
  return 0;
}

// The defaults for --jobs.
int AllCores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

StatusOr<config::DataSection> LoadData(const std::string& path,
                                       const std::vector<std::string>& overrides,
                                       bool unlabelled = false) {
  ANAM_ASSIGN_OR_RETURN(const config::JobConfig job,
                        unlabelled ? config::LoadPredictConfig(path, overrides)
                                   : config::LoadDataConfig(path, overrides));
  for (const std::string& note : job.notes) std::fprintf(stderr, "%s\n", note.c_str());
  return job.data;
}

void AddOverrides(CLI::App& app, std::vector<std::string>* overrides) {
  app.add_option("--set", *overrides,
                 "Override a key of the config, as data.cutoff_months=6 (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

constexpr Verb kVerbs[] = {
    {"prepare", "raw data to shards", RunPrepare},
    {"validate", "check raw data or shards", RunValidate},
    {"render", "print narratives", RunRender},
    {"synth", "make a synthetic cohort and a tiny base model", RunSynth},
    {"ensure", "the shards of a job, from the cache or made now (for the worker)", RunEnsure},
};

}  // namespace

std::span<const Verb> Verbs() { return kVerbs; }

int Report(const Status& status) {
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
  return ExitCodeOf(status);
}

int RunVerb(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  for (const Verb& verb : kVerbs) {
    if (name == verb.name) return verb.run(argc - 1, argv + 1);
  }
  const bool help = name == "--help" || name == "-h";
  std::FILE* out = help ? stdout : stderr;
  if (!help && !name.empty()) std::fprintf(out, "error: unknown verb %s\n", name.c_str());
  std::fputs("usage: anamnesis-prep VERB …   (VERB --help says more)\n", out);
  for (const Verb& verb : kVerbs) std::fprintf(out, "  %-9s %s\n", verb.name, verb.summary);
  return help ? 0 : kUsageError;
}

int RunPrepare(int argc, char** argv) {
  CLI::App app("Raw data to shards. Prints the summary on stderr and the directory on stdout.",
               "prepare");
  app.footer("Example:\n  anamnesis prepare configs/jobs/first_light.yaml --out shards --jobs 4");
  std::string config, data_dir, part;
  std::vector<std::string> overrides;
  PrepareOptions options;
  options.jobs = AllCores();
  uint64_t merge = 0;
  app.add_option("config", config, "The job's YAML (only `data` is read)")
      ->required()
      ->type_name("CONFIG.yaml");
  app.add_option("--out", options.out, "The new shard set's folder")->required()->type_name("DIR");
  app.add_option("--jobs", options.jobs,
                 "Threads (default: all cores); the result does not depend on it")
      ->check(CLI::Range(1, 1024));
  app.add_option("--splits", options.splits,
                 "Comma-separated; default: those of train, tuning and held_out that are there")
      ->delimiter(',');
  CLI::Option* part_option =
      app.add_option("--part", part,
                     "The I-th (from 0) of N parts alone, beside the set's folder: for many "
                     "machines, such as a job array")
          ->type_name("I/N");
  app.add_option("--merge", merge, "Make the set of its N parts, which are removed")
      ->type_name("N")
      ->check(CLI::Range(uint64_t{1}, kMaxParts))
      ->excludes(part_option);
  app.add_option("--data-dir", data_dir, "Accepted as everywhere; prepare keeps nothing there");
  AddOverrides(app, &overrides);
  bool proceed = false;
  if (const int code = Parse(app, argc, argv, &proceed); !proceed) return code;
  const StatusOr<config::DataSection> data = LoadData(config, overrides);
  if (!data.ok()) return Report(data.status());
  if (!part.empty()) {
    const Status parsed = ParsePart(part, &options.part, &options.parts);
    if (!parsed.ok()) return Report(parsed);
  }
  const StatusOr<PrepareSummary> summary = merge > 0           ? MergeParts(*data, merge, options)
                                           : options.parts > 0 ? PreparePart(*data, options)
                                                               : Prepare(*data, options);
  if (!summary.ok()) return Report(summary.status());
  std::fputs(DescribeSummary(*summary).c_str(), stderr);
  std::printf("%s\n", options.out.c_str());
  return 0;
}

int RunEnsure(int argc, char** argv) {
  CLI::App app(
      "The shards of a job's data: from the cache when they are there and intact, else made now. "
      "Prints the directory on stdout, or why it failed: the worker says it. With --progress, "
      "lines "
      "\"progress PHASE DONE TOTAL\" (bytes) come before.",
      "ensure");
  app.footer(
      "Example:\n  anamnesis-prep ensure job.yaml --splits train,tuning --data-dir "
      "~/.local/state/anamnesis");
  std::string config, data_dir;
  std::vector<std::string> splits, overrides;
  int jobs = AllCores();
  bool progress = false, unlabelled = false;
  app.add_option("config", config, "The job's YAML (only `data` is read)")
      ->required()
      ->type_name("CONFIG.yaml");
  app.add_option("--splits", splits, "Comma-separated; no other split's folder is opened")
      ->required()
      ->delimiter(',');
  app.add_option("--data-dir", data_dir, "The data directory that holds shards/")
      ->required()
      ->type_name("DIR");
  app.add_option("--jobs", jobs, "Threads (default: all cores)")->check(CLI::Range(1, 1024));
  app.add_flag("--progress", progress, "Say on stdout how far it is");
  app.add_flag("--unlabelled", unlabelled, "Take subjects without a label, as controls");
  AddOverrides(app, &overrides);
  bool proceed = false;
  if (const int code = Parse(app, argc, argv, &proceed); !proceed) return code;
  OnPrepPhase on_phase;
  if (progress) {
    on_phase = [](const char* phase, uint64_t done, uint64_t total) {
      std::printf("progress %s %llu %llu\n", phase, static_cast<unsigned long long>(done),
                  static_cast<unsigned long long>(total));
      std::fflush(stdout);
    };
  }
  StatusOr<std::string> directory = "";
  const StatusOr<config::DataSection> data = LoadData(config, overrides, unlabelled);
  if (data.ok()) directory = EnsureShards(*data, splits, data_dir, jobs, on_phase, unlabelled);
  const Status status = data.ok() ? directory.status() : data.status();
  std::printf("%s\n", status.ok() ? directory->c_str() : MessageOf(status).c_str());
  return ExitCodeOf(status);
}

int RunValidate(int argc, char** argv) {
  CLI::App app(
      "Checks raw data (a config, or a folder in the seed layout) or a shard set. Prints a report "
      "on stdout; exit 6 "
      "when something was found.",
      "validate");
  app.footer("Example:\n  anamnesis validate configs/jobs/first_light.yaml --lenient");
  std::string path;
  std::vector<std::string> overrides;
  bool strict = false, lenient = false;
  app.add_option("path", path, "CONFIG.yaml, a folder in the seed layout, or a shard set")
      ->required();
  CLI::Option* strict_option =
      app.add_flag("--strict", strict, "Every deviation is a finding (default)");
  app.add_flag("--lenient", lenient,
               "Count and pass over times out of order and subjects without a label")
      ->excludes(strict_option);
  AddOverrides(app, &overrides);
  bool proceed = false;
  if (const int code = Parse(app, argc, argv, &proceed); !proceed) return code;
  ValidationReport report;
  if (LooksLikeShards(path)) {
    report = ValidateShards(path);
  } else {
    const StatusOr<config::DataSection> data =
        IsDirectory(path) ? SeedLayoutOf(path) : LoadData(path, overrides);
    if (!data.ok()) return Report(data.status());
    report = ValidateSeedLayout(*data, lenient);
  }
  std::fputs(report.Text().c_str(), stdout);
  return report.num_findings == 0 ? 0 : ExitCodeOf(InvalidArgument("findings"));
}

namespace {

// The ids of --subject, none for "all".
Status ParseSubjects(const std::vector<std::string>& texts, std::vector<int64_t>* ids) {
  if (texts.size() == 1 && texts[0] == "all") return absl::OkStatus();
  for (const std::string& text : texts) {
    const char* end = text.data() + text.size();
    int64_t id = 0;
    const auto parsed = std::from_chars(text.data(), end, id);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      return InvalidArgument("--subject ", text, ": expected subject ids, or all");
    }
    ids->push_back(id);
  }
  return absl::OkStatus();
}

}  // namespace

int RunRender(int argc, char** argv) {
  CLI::App app(
      "Prints one line a subject on stdout: subject_id<TAB>narrative. A config is cut as it says; "
      "a shard set is not "
      "cut unless --as-of or --cutoff-months is given.",
      "render");
  app.footer(
      "Example:\n  anamnesis render configs/jobs/first_light.yaml --split tuning --subject 17 23");
  std::string source, as_of;
  std::vector<std::string> subjects, overrides;
  RenderOptions options;
  app.add_option("source", source, "CONFIG.yaml or a shard set")->required();
  app.add_option("--split", options.split, "train, tuning or held_out")->required();
  app.add_option("--subject", subjects, "Subject ids, or all")->required()->delimiter(',');
  app.add_option("--as-of", as_of, "Keep what came before this date (ISO), for every subject")
      ->type_name("DATE");
  app.add_option("--cutoff-months", options.cutoff_months,
                 "Instead of the config's; with --as-of, counted back from it")
      ->type_name("N");
  AddOverrides(app, &overrides);
  bool proceed = false;
  if (const int code = Parse(app, argc, argv, &proceed); !proceed) return code;
  if (const Status status = ParseSubjects(subjects, &options.subject_ids); !status.ok()) {
    Report(status);
    return kUsageError;
  }
  if (!as_of.empty()) {
    options.as_of_us = ParseTimestampMicros(as_of);
    if (!options.as_of_us.has_value()) {
      std::fprintf(stderr, "error: --as-of: expected a date as 2019-03-31\n");
      return kUsageError;
    }
  }
  const LineSink print = [](const std::string& line) { std::printf("%s\n", line.c_str()); };
  if (IsDirectory(source)) return Report(RenderShards(source, options, print));
  const StatusOr<config::DataSection> data = LoadData(source, overrides);
  if (!data.ok()) return Report(data.status());
  return Report(RenderRaw(*data, options, print));
}

}  // namespace anamnesis::prep
