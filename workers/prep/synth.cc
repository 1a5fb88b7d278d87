// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/synth.h"

#include <cmath>
#include <cstdio>
#include <iomanip>
#include <map>
#include <optional>
#include <sstream>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/io/file.h"
#include "common/io/json.h"
#include "workers/prep/synth_base.h"
#include "workers/prep/synth_cohort.h"
#include "workers/prep/synth_entropy.h"
#include "workers/prep/synth_narratives.h"
#include "workers/prep/synth_subject.h"
#include "workers/prep/verbs.h"

namespace anamnesis::prep {
namespace {

constexpr int kTruthFormat = 1;

// What was made, for truth.json and the summary.
struct Truth {
  std::map<std::string, SynthSplit> splits;
  std::optional<LabelEntropies> labels;  // with a base

  double tuning_nats() const { return -splits.at("tuning").log_probability; }
  double true_entropy() const {
    return tuning_nats() / static_cast<double>(labels->num_tuning_labels);
  }
};

Status CheckEmpty(const std::string& directory) {
  if (!PathExists(directory)) return absl::OkStatus();
  if (!IsDirectory(directory)) return InvalidArgument("--out: ", directory, ": is not a folder");
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory));
  if (names.empty()) return absl::OkStatus();
  return AlreadyExists("--out: ", directory, ": is not empty (", names.size(),
                       " entries); name a new folder, or remove this one");
}

// Six digits are kept, so that the last bits of a mathematical library do not change the file.
double Rounded(double value) { return std::round(value * 1e6) / 1e6; }

std::string Digits(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

Json SignalJson(const SynthWorld& world) {
  return {{"best_auroc", Rounded(synth::BestAuroc())},
          {"case_rate", Rounded(1.0 / synth::kCaseOneIn)},
          {"reviews", synth::kNumReviews},
          {"positive_rate_of_cases", synth::kPositivePercentOfCase / 100.0},
          {"positive_rate_of_controls", synth::kPositivePercentOfControl / 100.0},
          {"positive_phrase", world.review_term(true)},
          {"negative_phrase", world.review_term(false)},
          {"leak_phrases", world.marker_terms()}};
}

Json TruthJson(const SynthOptions& options, const SynthWorld& world, const Truth& truth) {
  Json json = {{"format", kTruthFormat},
               {"seed", options.seed},
               {"style", NameOf(options.style)},
               {"subjects", options.num_subjects},
               {"cutoff_months", kSynthCutoffMonths},
               {"signal", SignalJson(world)}};
  for (const auto& [name, split] : truth.splits) {
    json["splits"][name] = {{"subjects", split.num_subjects},
                            {"cases", split.num_cases},
                            {"events", split.num_events},
                            {"phrases", split.num_phrases}};
  }
  json["chain"] = {{"states", world.num_states()},
                   {"nats_per_event", Rounded(synth::ChainEntropyRate())}};
  const double num_tuning = static_cast<double>(truth.splits.at("tuning").num_subjects);
  json["nats_per_narrative"] = {{"expected", Rounded(synth::NarrativeEntropy(world))},
                                {"tuning", Rounded(truth.tuning_nats() / num_tuning)}};
  if (!truth.labels.has_value()) return json;
  json["entropy"] = {{"unit", "nats per label of tuning"},
                     {"true", Rounded(truth.true_entropy())},
                     {"bigram", Rounded(truth.labels->bigram)},
                     {"unigram", Rounded(truth.labels->unigram)}};
  json["labels"] = {{"train", truth.labels->num_train_labels},
                    {"tuning", truth.labels->num_tuning_labels}};
  json["longest_document_ids"] = truth.labels->longest_document_ids;
  json["vocab_size"] = truth.labels->vocab_size;
  return json;
}

std::string Summary(const SynthOptions& options, const Truth& truth) {
  std::ostringstream out;
  out << "cohort        " << options.out << ": " << options.num_subjects << " subjects, style "
      << NameOf(options.style) << ", seed " << options.seed << "\n";
  for (const char* name : {"train", "tuning", "held_out"}) {
    const SynthSplit& split = truth.splits.at(name);
    out << "  " << std::left << std::setw(10) << name << std::right << std::setw(8)
        << split.num_subjects << " subjects, " << split.num_cases << " cases, " << split.num_events
        << " events\n";
  }
  out << "best AUROC    " << Digits(synth::BestAuroc(), 4)
      << "  (of any score of the narratives before the cut of one month)\n";
  if (!truth.labels.has_value()) {
    out << "true entropy  " << Digits(synth::NarrativeEntropy(SynthWorld(options.style)), 3)
        << " nats a narrative  (no base model, so none per token)\n";
    return out.str();
  }
  const LabelEntropies& labels = *truth.labels;
  out << "base model    " << options.out << "/base: vocabulary of " << labels.vocab_size
      << ", longest document " << labels.longest_document_ids << " ids\n"
      << "labels        train " << labels.num_train_labels << ", tuning "
      << labels.num_tuning_labels << "\n"
      << "loss on tuning in nats per label that is reached by\n"
      << "  unigram     " << Digits(labels.unigram, 4) << "  (counts of train)\n"
      << "  bigram      " << Digits(labels.bigram, 4) << "  (counts of train)\n"
      << "  the truth   " << Digits(truth.true_entropy(), 4) << "  (the generator itself)\n";
  return out.str();
}

}  // namespace

StatusOr<std::string> Synthesize(const SynthOptions& options) {
  if (options.num_subjects < kMinSynthSubjects || options.num_subjects > kMaxSynthSubjects) {
    return InvalidArgument("--subjects: ", options.num_subjects, ": expected ", kMinSynthSubjects,
                           " to ", kMaxSynthSubjects);
  }
  ANAM_RETURN_IF_ERROR(CheckEmpty(options.out));
  ANAM_RETURN_IF_ERROR(MakeDirectories(options.out));
  const SynthWorld world(options.style);
  Truth truth;
  ANAM_ASSIGN_OR_RETURN(truth.splits,
                        WriteSynthCohort(world, options.num_subjects, options.seed, options.out));
  if (options.base) {
    const std::string base = options.out + "/base";
    ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<SynthNarratives> narratives,
                          SynthNarratives::Open(options.out));
    ANAM_RETURN_IF_ERROR(WriteSynthBase(*narratives, options.seed, base));
    ANAM_ASSIGN_OR_RETURN(truth.labels, MeasureLabelEntropies(*narratives, base));
    if (truth.labels->num_tuning_phrases != truth.splits.at("tuning").num_phrases) {
      return Internal("tuning has ", truth.labels->num_tuning_phrases,
                      " phrases before the cut, the generator made ",
                      truth.splits.at("tuning").num_phrases);
    }
  }
  ANAM_RETURN_IF_ERROR(WriteFileDurably(options.out + "/truth.json",
                                        TruthJson(options, world, truth).dump(2) + "\n"));
  return Summary(options, truth);
}

int RunSynth(int argc, char** argv) {
  CLI::App app(
      "A synthetic cohort in the seed layout with a tiny random base model for it. Prints what the "
      "best possible model reaches on it, also in DIR/truth.json.",
      "synth");
  app.footer("Example:\n  anamnesis synth --out results/cohort --subjects 2000 --style values");
  SynthOptions options;
  std::string style = NameOf(options.style);
  bool no_base = false;
  app.add_option("--out", options.out, "The folder to make; must not exist or be empty")
      ->required()
      ->type_name("DIR");
  app.add_option("--subjects", options.num_subjects, "How many (default 600)")
      ->check(CLI::Range(kMinSynthSubjects, kMaxSynthSubjects))
      ->type_name("N");
  app.add_option("--seed", options.seed, "The same seed gives the same bytes (default 1)")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  app.add_option("--style", style, "How values are written: readme, pairs or values")
      ->check(CLI::IsMember({"readme", "pairs", "values"}));
  app.add_flag("--no-base", no_base, "Without DIR/base, and so without entropies per token");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  options.base = !no_base;
  const StatusOr<SynthStyle> parsed = SynthStyleFromName(style);
  if (!parsed.ok()) {
    Report(parsed.status());
    return kUsageError;
  }
  options.style = *parsed;
  const StatusOr<std::string> summary = Synthesize(options);
  if (!summary.ok()) return Report(summary.status());
  std::fputs(summary->c_str(), stdout);
  return 0;
}

}  // namespace anamnesis::prep
