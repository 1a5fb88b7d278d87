// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/render.h"

#include <unordered_map>
#include <utility>

#include "workers/prep/cohort.h"
#include "workers/stream/narrative.h"

namespace anamnesis::prep {
namespace {

constexpr int64_t kMaxCutoffMonths = 12'000;

// Renders subjects as they come; holds back those that were asked for by id, to print them in the
// order asked.
class Renderer {
 public:
  static StatusOr<Renderer> Create(stream::StreamSpec spec, const RenderOptions& options, bool cut,
                                   const LineSink& sink) {
    if (options.cutoff_months.has_value()) {
      if (*options.cutoff_months < 0 || *options.cutoff_months > kMaxCutoffMonths) {
        return InvalidArgument("--cutoff-months: ", *options.cutoff_months, ": expected 0 to ",
                               kMaxCutoffMonths);
      }
      spec.cutoff_months = static_cast<int>(*options.cutoff_months);
    } else if (options.as_of_us.has_value()) {
      spec.cutoff_months = 0;
    }
    if (options.as_of_us.has_value() || !cut) spec.apply_to = "cases";
    Renderer renderer(options, cut || options.cutoff_months.has_value(), sink);
    ANAM_ASSIGN_OR_RETURN(renderer.rule_, stream::NarrativeRule::FromSpec(spec));
    for (const int64_t id : options.subject_ids) renderer.wanted_.emplace(id, "");
    return renderer;
  }

  Status Take(shard::Subject& subject, const std::vector<shard::Phrase>& phrases, uint64_t index) {
    const auto wanted = wanted_.find(subject.subject_id);
    if (!options_.subject_ids.empty() && wanted == wanted_.end()) return absl::OkStatus();
    if (options_.as_of_us.has_value()) {
      // "What was known at DATE": everybody is cut there, as a case diagnosed on that day would be.
      subject.is_case = true;
      subject.cancer_time_us = options_.as_of_us;
    } else if (!cut_) {
      subject.is_case = false;  // controls are not cut under apply_to: cases
    }
    ANAM_RETURN_IF_ERROR(rule_.Apply(subject, phrases, options_.split, index, &narrative_));
    if (narrative_.dropped) return absl::OkStatus();
    std::string line = Cat(subject.subject_id, "\t", rule_.Text(narrative_, phrases));
    if (options_.subject_ids.empty()) {
      sink_(line);
    } else {
      wanted->second = std::move(line);
      ++num_found_;
    }
    return absl::OkStatus();
  }

  bool satisfied() const { return !wanted_.empty() && num_found_ == wanted_.size(); }

  // Prints the subjects asked for by id. kNotFound names those that the split does not hold.
  Status Finish() const {
    std::string missing;
    for (const int64_t id : options_.subject_ids) {
      const std::string& line = wanted_.at(id);
      if (line.empty()) {
        missing += Cat(missing.empty() ? "" : ", ", id);
      } else {
        sink_(line);
      }
    }
    if (missing.empty()) return absl::OkStatus();
    return NotFound("split ", options_.split, " has no narrative of subject ", missing);
  }

 private:
  Renderer(const RenderOptions& options, bool cut, const LineSink& sink)
      : options_(options), cut_(cut), sink_(sink) {}

  const RenderOptions& options_;
  bool cut_;
  const LineSink& sink_;
  stream::NarrativeRule rule_;
  stream::Narrative narrative_;
  std::unordered_map<int64_t, std::string> wanted_;
  size_t num_found_ = 0;
};

}  // namespace

Status RenderRaw(const config::DataSection& data, const RenderOptions& options,
                 const LineSink& sink) {
  stream::StreamSpec spec;
  spec.profile = data.profile;
  spec.time_mode = data.time_mode;
  spec.cutoff_months = static_cast<int>(data.cutoff_months);
  spec.apply_to = data.apply_to;
  spec.boundary = data.boundary;
  spec.on_missing_date = data.on_missing_date;
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<Cohort> cohort, Cohort::Load(data));
  ANAM_ASSIGN_OR_RETURN(Renderer renderer, Renderer::Create(spec, options, /*cut=*/true, sink));
  ANAM_ASSIGN_OR_RETURN(const std::vector<InputFile> files,
                        ListSplit(data.data_dir, options.split));
  uint64_t index = 0;  // within the split
  const auto take = [&](uint64_t, shard::Subject& subject, const std::vector<uint32_t>&) {
    return renderer.Take(subject, cohort->phrases(), index++);
  };
  for (const InputFile& file : files) {
    ANAM_RETURN_IF_ERROR(cohort->ReadSubjects(file, take, nullptr));
    if (renderer.satisfied()) break;
  }
  return renderer.Finish();
}

Status RenderShards(const std::string& directory, const RenderOptions& options,
                    const LineSink& sink) {
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<shard::ShardSet> set,
                        shard::ShardSet::Open(directory));
  ANAM_ASSIGN_OR_RETURN(const shard::SplitSummary split, set->Split(options.split));
  ANAM_ASSIGN_OR_RETURN(Renderer renderer, Renderer::Create({}, options, /*cut=*/false, sink));
  shard::Subject subject;
  for (uint64_t i = 0; i < split.num_subjects && !renderer.satisfied(); ++i) {
    ANAM_RETURN_IF_ERROR(set->Read(options.split, i, &subject));
    ANAM_RETURN_IF_ERROR(renderer.Take(subject, set->phrases(), i));
  }
  return renderer.Finish();
}

}  // namespace anamnesis::prep
