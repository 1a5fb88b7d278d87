// SPDX-License-Identifier: Apache-2.0
#include "workers/merge/merge.h"

#include <ATen/core/grad_mode.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "common/io/file.h"
#include "workers/adapter/peft_files.h"
#include "workers/adapter/trainable.h"
#include "workers/checkpoint/checkpoint.h"
#include "workers/merge/merge_base.h"
#include "workers/merge/merged_weights.h"
#include "workers/merge/parity.h"
#include "workers/train/status_from_torch.h"

namespace anamnesis::merge {
namespace {

namespace fs = std::filesystem;

constexpr char kReportName[] = "merge.json";
constexpr char kAdapterWeights[] = "/adapter_model.safetensors";

// A folder beside the one that is to be made; removed unless it has become that.
class Staging {
 public:
  static Status Check(const std::string& out) {
    std::error_code error;
    const bool is_free =
        !fs::exists(out, error) || (fs::is_directory(out, error) && fs::is_empty(out, error));
    if (is_free && !error) return absl::OkStatus();
    return AlreadyExists("--out: ", out, " is there already: expected a new or an empty folder");
  }
  static StatusOr<std::unique_ptr<Staging>> Create(const std::string& out) {
    std::unique_ptr<Staging> staging(new Staging());
    staging->target_ = fs::absolute(fs::path(out) / "").parent_path().string();
    staging->path_ = Cat(staging->target_, ".staging-", getpid());
    ANAM_RETURN_IF_ERROR(MakeDirectories(staging->path_));
    return staging;
  }
  ~Staging() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }

  Status Publish() {
    ANAM_RETURN_IF_ERROR(SyncDirectory(path_));
    if (std::rename(path_.c_str(), target_.c_str()) != 0) {
      return Internal(target_, ": cannot be put in place: ", std::strerror(errno));
    }
    path_.clear();
    return SyncDirectory(fs::path(target_).parent_path().string());
  }

 private:
  Staging() = default;
  std::string target_, path_;
};

Status CheckFinite(const adapter::TrainableModel& trainable, const std::string& source) {
  for (const adapter::NamedParameter& parameter : trainable.parameters()) {
    if (parameter.master.isfinite().all().item<bool>()) continue;
    return InvalidArgument(source, ": tensor '", parameter.name, "' has a NaN or an infinity");
  }
  return absl::OkStatus();
}

// The adapter's tokenizer, which may have more tokens than the base's; else the base's.
Status CopyOtherFiles(const std::string& adapter, const std::string& base, const std::string& to) {
  const bool has_tokenizer =
      PathExists(adapter + "/tokenizer.json") || PathExists(adapter + "/tokenizer_config.json");
  ANAM_RETURN_IF_ERROR(checkpoint::CopyTokenizer(has_tokenizer ? adapter : base, to));
  for (const char* name :
       {"/generation_config.json", "/preprocessor_config.json", "/processor_config.json"}) {
    if (!PathExists(base + name)) continue;
    ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(base + name));
    ANAM_RETURN_IF_ERROR(WriteFileDurably(to + name, content));
  }
  return absl::OkStatus();
}

void AddNotes(const contract::ModelPlan& base, const Written& written, MergeReport* report) {
  if (report->base_is_packed) {
    report->notes.push_back(
        Cat("the base was trained on in NF4: the update is added to its dequantised weights, which "
            "are stored in ",
            written.dtype, ", not to the weights before quantisation"));
  }
  if (written.unties_head) {
    report->notes.push_back(
        "embedding and head were tied in the base and are not any more: config.json says "
        "tie_word_embeddings: false");
  }
  if (!PathExists(report->adapter_directory + "/" + checkpoint::kManifestName)) {
    report->notes.push_back(Cat("the adapter has no manifest: that it was trained on ", base.name,
                                " is told by the shapes alone"));
  }
}

StatusOr<MergeReport> MergeThrowing(const MergeOptions& options) {
  const std::string& adapter = options.adapter_directory;
  MergeReport report;
  ANAM_RETURN_IF_ERROR(Staging::Check(options.out));
  ANAM_ASSIGN_OR_RETURN(const adapter::AdapterConfig config, adapter::ReadAdapterConfig(adapter));
  ANAM_ASSIGN_OR_RETURN(const contract::ModelPlan base, FindBase(adapter, config, options.base));
  ANAM_ASSIGN_OR_RETURN(const model::ModelConfig shape, model::ReadModelConfig(base.directory));
  ANAM_ASSIGN_OR_RETURN(
      auto trainable, adapter::TrainableModel::Open(base, adapter, at::kCPU, ComputeDtype(shape)));
  ANAM_RETURN_IF_ERROR(CheckFinite(*trainable, adapter + kAdapterWeights));
  const ProbeBatch probe(shape);
  const at::Tensor before_TV = trainable->Logits(probe.batch());
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<Staging> staging, Staging::Create(options.out));
  ANAM_ASSIGN_OR_RETURN(const Written written,
                        WriteMergedModel(*trainable, base.directory, staging->path()));
  report.saved_modules = trainable->targets().saved_modules;
  report.notes = trainable->notes();
  trainable.reset();  // its memory is the merged model's
  ANAM_ASSIGN_OR_RETURN(const auto merged,
                        model::Decoder::Load(staging->path(), ComputeDtype(shape)));
  {
    const at::NoGradGuard no_grad;
    report.parity = Compare(before_TV, merged->Logits(probe.batch()), shape);
  }
  ANAM_RETURN_IF_ERROR(CheckParity(report.parity));
  report.base_name = base.name;
  report.base_directory = base.directory;
  report.base_sha256 = base.sha256;
  report.base_is_packed = base.quantisation == "nf4";
  report.adapter_directory = adapter;
  ANAM_ASSIGN_OR_RETURN(report.adapter_sha256, FileSha256(adapter + kAdapterWeights));
  report.dtype = written.dtype;
  report.merged_layers = written.num_layers;
  AddNotes(base, written, &report);
  ANAM_RETURN_IF_ERROR(CopyOtherFiles(adapter, base.directory, staging->path()));
  ANAM_RETURN_IF_ERROR(
      WriteFileDurably(staging->path() + "/" + kReportName,
                       ToJson(report).dump(2, ' ', false, Json::error_handler_t::replace) + "\n"));
  ANAM_RETURN_IF_ERROR(staging->Publish());
  return report;
}

}  // namespace

Json ToJson(const MergeReport& report) {
  return {{"version", 1},
          {"base_model_name_or_path", report.base_name},
          {"base_directory", report.base_directory},
          {"base_sha256", report.base_sha256},
          {"adapter_directory", report.adapter_directory},
          {"adapter_sha256", report.adapter_sha256},
          {"base_quantisation", report.base_is_packed ? "nf4" : "none"},
          {"dtype", report.dtype},
          {"merged_layers", report.merged_layers},
          {"saved_modules", report.saved_modules},
          {"notes", report.notes},
          {"parity",
           {{"tokens", report.parity.num_tokens},
            {"compute_dtype", report.parity.compute_dtype},
            {"max_abs_difference", report.parity.max_difference},
            {"max_abs_logit", report.parity.max_logit},
            {"relative", report.parity.relative()},
            {"tolerance", report.parity.tolerance}}}};
}

StatusOr<MergeReport> Merge(const MergeOptions& options) {
  StatusOr<MergeReport> report = Internal("merge: no result");
  ANAM_RETURN_IF_ERROR(train::StatusFromTorch([&] {
    report = MergeThrowing(options);
    return report.status();
  }));
  return report;
}

}  // namespace anamnesis::merge
