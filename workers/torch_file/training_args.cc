// SPDX-License-Identifier: Apache-2.0
#include "workers/torch_file/training_args.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "common/io/file.h"
#include "common/io/json.h"
#include "common/io/pickle_ops.h"
#include "workers/torch_file/pickle_text.h"
#include "workers/torch_file/torch_writer.h"
#include "workers/torch_file/zip_writer.h"

namespace anamnesis::torch_file {
namespace {

namespace op = pickle_op;

// A member of a Python enum, written as a call of its class with its value.
struct EnumMember {
  std::string_view module, name;
  std::string value;
};
struct NullArg {};
struct AcceleratorConfig {};  // with its defaults
using Words = std::vector<std::string>;
using ArgValue =
    std::variant<NullArg, bool, int64_t, double, std::string, Words, EnumMember, AcceleratorConfig>;
struct Attribute {
  std::string_view name;
  ArgValue value;
};

constexpr std::string_view kUtils = "transformers.trainer_utils";
constexpr std::string_view kArguments = "transformers.training_args";

constexpr std::string_view kSchedulers[] = {"linear",
                                            "cosine",
                                            "cosine_with_restarts",
                                            "polynomial",
                                            "constant",
                                            "constant_with_warmup",
                                            "inverse_sqrt",
                                            "reduce_lr_on_plateau",
                                            "cosine_with_min_lr",
                                            "warmup_stable_decay"};
constexpr std::string_view kOptimizers[] = {
    "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit",
    "adafactor",   "paged_adamw_32bit", "sgd",        "adagrad",        "rmsprop"};
constexpr std::string_view kIntervals[] = {"no", "steps", "epoch"};
constexpr std::string_view kSaves[] = {"no", "steps", "epoch", "best"};

Status CheckOneOf(std::string_view key, const std::string& value,
                  std::span<const std::string_view> known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return absl::OkStatus();
  std::string list;
  for (const std::string_view name : known) list += Cat(list.empty() ? "" : ", ", name);
  return InvalidArgument("training_args: ", key, ": '", value, "', expected one of ", list);
}

template <typename T>
ArgValue OrNull(const std::optional<T>& value) {
  if (value.has_value()) return *value;
  return NullArg{};
}

// Our values, then those attributes whose value after construction is not their class's default.
std::vector<Attribute> AttributesOf(const TrainingArgs& a) {
  std::vector<Attribute> out = {
      {"output_dir", a.output_dir},
      {"per_device_train_batch_size", a.per_device_train_batch_size},
      {"num_train_epochs", a.num_train_epochs},
      {"max_steps", a.max_steps},
      {"learning_rate", a.learning_rate},
      {"lr_scheduler_type", EnumMember{kUtils, "SchedulerType", a.lr_scheduler_type}},
      {"warmup_steps", a.warmup_steps},
      {"optim", EnumMember{kArguments, "OptimizerNames", a.optim}},
      {"weight_decay", a.weight_decay},
      {"adam_beta1", a.adam_beta1},
      {"adam_beta2", a.adam_beta2},
      {"adam_epsilon", a.adam_epsilon},
      {"gradient_accumulation_steps", a.gradient_accumulation_steps},
      {"max_grad_norm", a.max_grad_norm},
      {"bf16", a.bf16},
      {"fp16", a.fp16},
      {"gradient_checkpointing", a.gradient_checkpointing},
      {"logging_strategy", EnumMember{kUtils, "IntervalStrategy", "steps"}},
      {"logging_steps", a.logging_steps},
      {"disable_tqdm", false},
      {"report_to", a.report_to},
      {"run_name", OrNull(a.run_name)},
      {"eval_strategy", EnumMember{kUtils, "IntervalStrategy", a.eval_strategy}},
      {"eval_steps", OrNull(a.eval_steps)},
      {"per_device_eval_batch_size", a.per_device_eval_batch_size},
      {"include_for_metrics", Words{}},
      {"save_strategy", EnumMember{kUtils, "SaveStrategy", a.save_strategy}},
      {"save_steps", a.save_steps},
      {"save_total_limit", OrNull(a.save_total_limit)},
      {"hub_strategy", EnumMember{kUtils, "HubStrategy", "every_save"}},
      {"load_best_model_at_end", a.load_best_model_at_end},
      {"metric_for_best_model", OrNull(a.metric_for_best_model)},
      {"greater_is_better", OrNull(a.greater_is_better)},
      {"seed", a.seed},
      {"use_cpu", a.use_cpu},
      {"accelerator_config", AcceleratorConfig{}},
      {"debug", Words{}},
      {"do_train", true},
      {"do_eval", a.eval_strategy != "no"},
      {"local_rank", int64_t{-1}},
  };
  // Set by the constructor beside the fields; what else it sets is made when asked for.
  out.push_back({"mixed_precision", std::string(a.bf16 ? "bf16" : a.fp16 ? "fp16" : "no")});
  out.push_back({"fsdp_plugin_args", NullArg{}});
  out.push_back({"deepspeed_plugin", NullArg{}});
  return out;
}

void PutObject(std::string_view module, std::string_view name, PickleText* pickle) {
  pickle->Global(module, name);
  pickle->Op(op::kEmptyTuple);
  pickle->Op(op::kNewObj);
}

void PutAttributes(const std::vector<Attribute>& attributes, PickleText* pickle);

struct PutValue {
  PickleText* pickle;

  void operator()(NullArg) const { pickle->None(); }
  void operator()(bool value) const { pickle->Bool(value); }
  void operator()(int64_t value) const { pickle->Int(value); }
  void operator()(double value) const { pickle->Float(value); }
  void operator()(const std::string& value) const { pickle->Text(value); }
  void operator()(const Words& words) const {
    pickle->Op(op::kEmptyList);
    pickle->Op(op::kMark);
    for (const std::string& word : words) pickle->Text(word);
    pickle->Op(op::kAppends);
  }
  void operator()(const EnumMember& member) const {
    pickle->Global(member.module, member.name);
    pickle->Text(member.value);
    pickle->Op(op::kTuple1);
    pickle->Op(op::kReduce);
  }
  void operator()(AcceleratorConfig) const {
    PutObject("transformers.trainer_pt_utils", "AcceleratorConfig", pickle);
    PutAttributes({{"split_batches", false},
                   {"dispatch_batches", NullArg{}},
                   {"even_batches", true},
                   {"use_seedable_sampler", true},
                   {"non_blocking", false},
                   {"gradient_accumulation_kwargs", NullArg{}}},
                  pickle);
  }
};

// The object's __dict__.
void PutAttributes(const std::vector<Attribute>& attributes, PickleText* pickle) {
  pickle->Op(op::kEmptyDict);
  pickle->Op(op::kMark);
  for (const Attribute& attribute : attributes) {
    pickle->Text(attribute.name);
    std::visit(PutValue{pickle}, attribute.value);
  }
  pickle->Op(op::kSetItems);
  pickle->Op(op::kBuild);
}

struct JsonOf {
  Json operator()(NullArg) const { return nullptr; }
  Json operator()(const EnumMember& member) const { return member.value; }
  Json operator()(AcceleratorConfig) const { return nullptr; }
  template <typename T>
  Json operator()(const T& value) const {
    return value;
  }
};

}  // namespace

Status WriteTrainingArgs(const std::string& path, const TrainingArgs& values) {
  static constexpr std::string_view kEnding = ".bin";
  if (!path.ends_with(kEnding)) {
    return InvalidArgument("training_args: ", path, ": expected a name that ends in .bin");
  }
  ANAM_RETURN_IF_ERROR(CheckOneOf("lr_scheduler_type", values.lr_scheduler_type, kSchedulers));
  ANAM_RETURN_IF_ERROR(CheckOneOf("optim", values.optim, kOptimizers));
  ANAM_RETURN_IF_ERROR(CheckOneOf("eval_strategy", values.eval_strategy, kIntervals));
  ANAM_RETURN_IF_ERROR(CheckOneOf("save_strategy", values.save_strategy, kSaves));
  const std::vector<Attribute> attributes = AttributesOf(values);
  PickleText pickle;
  PutObject(kArguments, "TrainingArguments", &pickle);
  PutAttributes(attributes, &pickle);

  const std::string archive = ArchiveNameOf(path);
  ANAM_ASSIGN_OR_RETURN(ZipWriter zip, ZipWriter::Create(path));
  ANAM_RETURN_IF_ERROR(zip.Add(archive + "/data.pkl", pickle.Finish()));
  ANAM_RETURN_IF_ERROR(zip.Add(archive + "/byteorder", "little"));
  ANAM_RETURN_IF_ERROR(zip.Add(archive + "/version", "3\n"));
  ANAM_RETURN_IF_ERROR(zip.Commit());

  Json json = Json::object();
  for (const Attribute& attribute : attributes) {
    if (std::holds_alternative<AcceleratorConfig>(attribute.value)) continue;
    json[std::string(attribute.name)] = std::visit(JsonOf{}, attribute.value);
  }
  const std::string json_path = path.substr(0, path.size() - kEnding.size()) + ".json";
  return WriteFileDurably(json_path,
                          json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace anamnesis::torch_file
