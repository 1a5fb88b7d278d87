// SPDX-License-Identifier: Apache-2.0
#include "workers/torch_file/state_pickle.h"

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "common/io/pickle_scan.h"

namespace anamnesis::torch_file {
namespace {

namespace op = pickle_op;

constexpr size_t kMaxExtents = 16;
constexpr size_t kMaxQuoted = 80;

struct StateNone {};
struct Mark {};
struct StateStorage {
  TorchType type = TorchType::kF32;
  std::string_view key;
  uint64_t numel = 0;
};
enum class StateCallable : uint8_t { kOrderedDict, kTensor, kParameter };

// Tuples, dicts and tensors live in the machine's tables and are named by their index there, so a
// value that holds itself is harmless.
struct TupleIndex {
  size_t at;
};
struct DictIndex {
  size_t at;
};
struct TensorIndex {
  size_t at;
};
using StateValue =
    std::variant<StateNone, Mark, bool, int64_t, double, std::string_view, StateCallable, TorchType,
                 StateStorage, TupleIndex, DictIndex, TensorIndex>;
constexpr const char* kValueNames[] = {"None",      "a mark",  "a bool",  "an int",
                                       "a float",   "a str",   "a class", "a storage class",
                                       "a storage", "a tuple", "a dict",  "a tensor"};

const char* ValueName(const StateValue& value) { return kValueNames[value.index()]; }

const PickleDialect& StateDialect() {
  static const PickleDialect dialect = [] {
    PickleDialect made;
    for (const unsigned char code :
         {op::kMark,        op::kStop,        op::kBinInt,     op::kBinInt1,
          op::kBinInt2,     op::kNone,        op::kBinUnicode, op::kShortBinUnicode,
          op::kBinUnicode8, op::kEmptyDict,   op::kEmptyTuple, op::kTuple,
          op::kTuple1,      op::kTuple2,      op::kTuple3,     op::kSetItem,
          op::kSetItems,    op::kBinGet,      op::kLongBinGet, op::kBinPut,
          op::kLongBinPut,  op::kMemoize,     op::kBinFloat,   op::kProto,
          op::kNewTrue,     op::kNewFalse,    op::kLong1,      op::kFrame,
          op::kGlobal,      op::kStackGlobal, op::kBinPersId,  op::kReduce,
          op::kBuild}) {
      made.accepted[code] = true;
    }
    made.refusal = "expected what torch.save writes for a dict of tensors (a state_dict)";
    return made;
  }();
  return dialect;
}

// A name of the file for an error text: short and printable.
std::string Quoted(std::string_view text) {
  std::string quoted(text.substr(0, kMaxQuoted));
  for (char& c : quoted) {
    if (c < ' ' || c > '~') c = '?';
  }
  return "'" + quoted + (text.size() > kMaxQuoted ? "…'" : "'");
}

// Fills numel and span and checks them against the storage.
Status CheckInsideStorage(PickledTensor* tensor) {
  uint64_t numel = 1;
  uint64_t last = 0;
  bool overflow = false;
  bool is_empty = false;
  for (const int64_t extent : tensor->shape) {
    if (extent < 0) return InvalidArgument("an extent of the shape is ", extent);
    is_empty |= extent == 0;
    overflow |= __builtin_mul_overflow(numel, static_cast<uint64_t>(extent), &numel);
  }
  for (const int64_t stride : tensor->strides) {
    if (stride < 0) return InvalidArgument("a stride is ", stride);
  }
  if (is_empty) {
    numel = 0;
    overflow = false;
  }
  if (overflow) return InvalidArgument("the product of the shape overflows");
  for (size_t i = 0; !is_empty && i < tensor->shape.size(); ++i) {
    uint64_t reach = 0;
    overflow |= __builtin_mul_overflow(static_cast<uint64_t>(tensor->shape[i] - 1),
                                       static_cast<uint64_t>(tensor->strides[i]), &reach) ||
                __builtin_add_overflow(last, reach, &last);
  }
  tensor->numel = numel;
  tensor->span = numel == 0 ? 0 : last + 1;
  if (overflow || tensor->offset > tensor->storage_numel ||
      tensor->span > tensor->storage_numel - tensor->offset) {
    return InvalidArgument("its strides reach beyond its storage of ", tensor->storage_numel,
                           " elements");
  }
  if (numel > tensor->storage_numel) {
    return InvalidArgument("it repeats elements: ", numel, " of a storage of ",
                           tensor->storage_numel, " (an expanded tensor; save it contiguous)");
  }
  return absl::OkStatus();
}

class StateMachine {
 public:
  explicit StateMachine(std::string_view bytes) : scanner_(bytes, StateDialect()) {}

  StatusOr<std::vector<PickledTensor>> Run() {
    PickleInstruction in;
    ANAM_RETURN_IF_ERROR(scanner_.Next(&in));
    if (in.op->code != op::kProto || in.number < 2 || in.number > 5) {
      return InvalidArgument(in.At(), ", expected PROTO (protocols 2 to 5) at the start");
    }
    while (true) {
      ANAM_RETURN_IF_ERROR(scanner_.Next(&in));
      if (in.op->code == op::kStop) return Stop(in);
      ANAM_RETURN_IF_ERROR(Execute(in));
    }
  }

 private:
  Status Execute(const PickleInstruction& in) {
    switch (in.op->code) {
      case op::kFrame:
        return absl::OkStatus();
      case op::kMark:
        marks_.push_back(stack_.size());
        return Push(Mark{});
      case op::kNone:
        return Push(StateNone{});
      case op::kNewTrue:
      case op::kNewFalse:
        return Push(in.op->code == op::kNewTrue);
      case op::kBinInt:
      case op::kBinInt1:
      case op::kBinInt2:
      case op::kLong1:
        return Push(in.number);
      case op::kBinFloat:
        return Push(in.real);
      case op::kBinUnicode:
      case op::kShortBinUnicode:
      case op::kBinUnicode8:
        return Push(in.text);
      case op::kEmptyDict:
        return PushDict();
      case op::kEmptyTuple:
        return Tuple(in, size_t{0});
      case op::kTuple:
        return Tuple(in, std::nullopt);
      case op::kTuple1:
      case op::kTuple2:
      case op::kTuple3:
        return Tuple(in, static_cast<size_t>(in.op->code - op::kTuple1 + 1));
      case op::kSetItem:
        return SetItems(in, size_t{2});
      case op::kSetItems:
        return SetItems(in, std::nullopt);
      case op::kBinPut:
      case op::kLongBinPut:
        return Put(in, static_cast<uint64_t>(in.number));
      case op::kMemoize:
        return Put(in, memo_.size());
      case op::kBinGet:
      case op::kLongBinGet:
        return Get(in);
      case op::kGlobal:
        return Global(in, in.text, in.second);
      case op::kStackGlobal:
        return StackGlobal(in);
      case op::kBinPersId:
        return PersistentId(in);
      case op::kReduce:
        return Reduce(in);
      case op::kBuild:
        return Build(in);
      default:
        return InvalidArgument(in.At(), ": not expected here");
    }
  }

  Status Push(StateValue value) {
    stack_.push_back(std::move(value));
    return absl::OkStatus();
  }

  Status PushDict() {
    dicts_.emplace_back();
    return Push(DictIndex{dicts_.size() - 1});
  }

  // Position of the first operand: `count` values, or all above the topmost mark.
  Status Operands(const PickleInstruction& in, std::optional<size_t> count, size_t* begin) const {
    const size_t floor = marks_.empty() ? 0 : marks_.back() + 1;
    if (!count.has_value()) {
      if (marks_.empty()) return InvalidArgument(in.At(), ": there is no mark on the stack");
      *begin = floor;
      return absl::OkStatus();
    }
    if (stack_.size() < floor + *count) {
      return InvalidArgument(in.At(), ": too few values on the stack");
    }
    *begin = stack_.size() - *count;
    return absl::OkStatus();
  }

  // Removes the operands from `begin` on, and their mark.
  std::vector<StateValue> Take(size_t begin, bool with_mark) {
    std::vector<StateValue> values(stack_.begin() + static_cast<std::ptrdiff_t>(begin),
                                   stack_.end());
    stack_.resize(with_mark ? begin - 1 : begin);
    if (with_mark) marks_.pop_back();
    return values;
  }

  Status Tuple(const PickleInstruction& in, std::optional<size_t> count) {
    size_t begin = 0;
    ANAM_RETURN_IF_ERROR(Operands(in, count, &begin));
    tuples_.push_back(Take(begin, !count.has_value()));
    return Push(TupleIndex{tuples_.size() - 1});
  }

  Status SetItems(const PickleInstruction& in, std::optional<size_t> count) {
    size_t begin = 0;
    ANAM_RETURN_IF_ERROR(Operands(in, count, &begin));
    const std::vector<StateValue> values = Take(begin, !count.has_value());
    size_t target = 0;
    ANAM_RETURN_IF_ERROR(Operands(in, size_t{1}, &target));
    const auto* dict = std::get_if<DictIndex>(&stack_[target]);
    if (dict == nullptr || values.size() % 2 != 0) {
      return InvalidArgument(in.At(), ": expected a dict and pairs, found ",
                             ValueName(stack_[target]), " and ", values.size(), " values");
    }
    auto& items = dicts_[dict->at];
    items.insert(items.end(), values.begin(), values.end());
    return absl::OkStatus();
  }

  Status Put(const PickleInstruction& in, uint64_t slot) {
    if (stack_.empty() || std::holds_alternative<Mark>(stack_.back())) {
      return InvalidArgument(in.At(), ": there is no value to keep");
    }
    memo_[slot] = stack_.back();
    return absl::OkStatus();
  }

  Status Get(const PickleInstruction& in) {
    const auto found = memo_.find(static_cast<uint64_t>(in.number));
    if (found == memo_.end()) {
      return InvalidArgument(in.At(), ": memo slot ", in.number, " has not been filled");
    }
    return Push(found->second);
  }

  Status Global(const PickleInstruction& in, std::string_view module, std::string_view name) {
    if (module == "collections" && name == "OrderedDict") return Push(StateCallable::kOrderedDict);
    if (module == "torch._utils" && name == "_rebuild_tensor_v2")
      return Push(StateCallable::kTensor);
    if (module == "torch._utils" && name == "_rebuild_parameter")
      return Push(StateCallable::kParameter);
    if (module == "torch") {
      if (const std::optional<TorchType> type = TypeOfStorageClass(name)) return Push(*type);
    }
    return InvalidArgument(in.At(), ": ", Quoted(Cat(module, ".", name)),
                           " is refused: the file names a class or function that a state_dict of "
                           "plain tensors does not need");
  }

  Status StackGlobal(const PickleInstruction& in) {
    size_t begin = 0;
    ANAM_RETURN_IF_ERROR(Operands(in, size_t{2}, &begin));
    const std::vector<StateValue> values = Take(begin, false);
    const auto* module = std::get_if<std::string_view>(&values[0]);
    const auto* name = std::get_if<std::string_view>(&values[1]);
    if (module == nullptr || name == nullptr) {
      return InvalidArgument(in.At(), ": expected two strings");
    }
    return Global(in, *module, *name);
  }

  // ('storage', class, key, device, number of elements); the device does not matter.
  Status PersistentId(const PickleInstruction& in) {
    size_t begin = 0;
    ANAM_RETURN_IF_ERROR(Operands(in, size_t{1}, &begin));
    const std::vector<StateValue> id = Take(begin, false);
    const auto* index = std::get_if<TupleIndex>(&id[0]);
    const std::vector<StateValue>* parts = index == nullptr ? nullptr : &tuples_[index->at];
    if (parts == nullptr || parts->size() != 5 || !Is<std::string_view>((*parts)[0], "storage") ||
        !std::holds_alternative<TorchType>((*parts)[1]) ||
        !std::holds_alternative<std::string_view>((*parts)[2]) ||
        !std::holds_alternative<int64_t>((*parts)[4])) {
      return InvalidArgument(in.At(), ": expected ('storage', class, key, device, elements)");
    }
    const int64_t numel = std::get<int64_t>((*parts)[4]);
    const auto type = std::get<TorchType>((*parts)[1]);
    int64_t size_bytes = 0;
    if (numel < 0 || __builtin_mul_overflow(numel, BytesOf(type), &size_bytes)) {
      return InvalidArgument(in.At(), ": a storage of ", numel, " elements");
    }
    return Push(
        StateStorage{type, std::get<std::string_view>((*parts)[2]), static_cast<uint64_t>(numel)});
  }

  template <typename T, typename U>
  static bool Is(const StateValue& value, const U& wanted) {
    const T* found = std::get_if<T>(&value);
    return found != nullptr && *found == wanted;
  }

  Status Reduce(const PickleInstruction& in) {
    size_t begin = 0;
    ANAM_RETURN_IF_ERROR(Operands(in, size_t{2}, &begin));
    const std::vector<StateValue> values = Take(begin, false);
    const auto* callable = std::get_if<StateCallable>(&values[0]);
    const auto* index = std::get_if<TupleIndex>(&values[1]);
    if (callable == nullptr || index == nullptr) {
      return InvalidArgument(in.At(), ": expected a class and a tuple, found ",
                             ValueName(values[0]), " and ", ValueName(values[1]));
    }
    const std::vector<StateValue>& arguments = tuples_[index->at];
    switch (*callable) {
      case StateCallable::kOrderedDict:
        if (!arguments.empty()) {
          return InvalidArgument(in.At(), ": an OrderedDict with arguments, expected none");
        }
        return PushDict();
      case StateCallable::kTensor:
        return RebuildTensor(in, arguments);
      case StateCallable::kParameter:
        // (data, requires_grad, backward_hooks)
        if (arguments.size() != 3 || !std::holds_alternative<TensorIndex>(arguments[0])) {
          return InvalidArgument(in.At(), ": _rebuild_parameter: expected a tensor and two more");
        }
        return Push(arguments[0]);
    }
    return Internal("callable");
  }

  // (storage, offset, size, stride, requires_grad, backward_hooks, metadata)
  Status RebuildTensor(const PickleInstruction& in, const std::vector<StateValue>& arguments) {
    if (arguments.size() < 6 || arguments.size() > 7 ||
        !std::holds_alternative<StateStorage>(arguments[0]) ||
        !std::holds_alternative<int64_t>(arguments[1])) {
      return InvalidArgument(in.At(),
                             ": _rebuild_tensor_v2: expected a storage, an offset, a size "
                             "and a stride");
    }
    if (arguments.size() == 7 && !std::holds_alternative<StateNone>(arguments[6])) {
      const auto* metadata = std::get_if<DictIndex>(&arguments[6]);
      if (metadata == nullptr || !dicts_[metadata->at].empty()) {
        return InvalidArgument(in.At(),
                               ": _rebuild_tensor_v2: metadata (a lazily conjugated or "
                               "negated tensor) is not built yet");
      }
    }
    const StateStorage& storage = std::get<StateStorage>(arguments[0]);
    PickledTensor tensor;
    tensor.type = storage.type;
    tensor.storage_key = std::string(storage.key);
    tensor.storage_numel = storage.numel;
    const int64_t offset = std::get<int64_t>(arguments[1]);
    if (offset < 0) return InvalidArgument(in.At(), ": a storage offset of ", offset);
    tensor.offset = static_cast<uint64_t>(offset);
    ANAM_RETURN_IF_ERROR(Integers(in, arguments[2], &tensor.shape));
    ANAM_RETURN_IF_ERROR(Integers(in, arguments[3], &tensor.strides));
    if (tensor.shape.size() != tensor.strides.size()) {
      return InvalidArgument(in.At(), ": ", tensor.shape.size(), " extents and ",
                             tensor.strides.size(), " strides");
    }
    ANAM_RETURN_IF_ERROR(
        AddContext(CheckInsideStorage(&tensor), Cat(in.At(), ": the tensor is refused")));
    tensors_.push_back(std::move(tensor));
    return Push(TensorIndex{tensors_.size() - 1});
  }

  Status Integers(const PickleInstruction& in, const StateValue& value,
                  std::vector<int64_t>* out) const {
    const auto* index = std::get_if<TupleIndex>(&value);
    if (index == nullptr || tuples_[index->at].size() > kMaxExtents) {
      return InvalidArgument(in.At(), ": expected a tuple of at most ", kMaxExtents, " integers");
    }
    for (const StateValue& item : tuples_[index->at]) {
      const auto* number = std::get_if<int64_t>(&item);
      if (number == nullptr) return InvalidArgument(in.At(), ": expected a tuple of integers");
      out->push_back(*number);
    }
    return absl::OkStatus();
  }

  // A module's state_dict carries its modules' versions as an attribute: nothing that we need.
  Status Build(const PickleInstruction& in) {
    size_t begin = 0;
    ANAM_RETURN_IF_ERROR(Operands(in, size_t{2}, &begin));
    const std::vector<StateValue> values = Take(begin, false);
    if (!std::holds_alternative<DictIndex>(values[0]) ||
        !std::holds_alternative<DictIndex>(values[1])) {
      return InvalidArgument(in.At(), ": attributes of ", ValueName(values[0]),
                             " are refused, expected those of an OrderedDict");
    }
    return Push(values[0]);
  }

  StatusOr<std::vector<PickledTensor>> Stop(const PickleInstruction& in) {
    if (!scanner_.at_end()) {
      return InvalidArgument("bytes after the end of the pickle at offset ", scanner_.position());
    }
    if (stack_.size() != 1 || !std::holds_alternative<DictIndex>(stack_[0])) {
      return InvalidArgument(in.At(), ": expected one dict of tensors, found ",
                             stack_.empty() ? "nothing" : ValueName(stack_[0]));
    }
    const std::vector<StateValue>& items = dicts_[std::get<DictIndex>(stack_[0]).at];
    std::vector<PickledTensor> out;
    std::set<std::string_view> names;
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      const auto* name = std::get_if<std::string_view>(&items[i]);
      const auto* index = std::get_if<TensorIndex>(&items[i + 1]);
      if (name == nullptr) {
        return InvalidArgument("key ", i / 2, " of the dict is ", ValueName(items[i]),
                               ", expected a tensor's name");
      }
      if (index == nullptr) {
        return InvalidArgument(Quoted(*name), " is ", ValueName(items[i + 1]),
                               ", expected a tensor (a state_dict alone, not a trainer's "
                               "checkpoint)");
      }
      if (!names.insert(*name).second) {
        return InvalidArgument(Quoted(*name), " is in the dict twice");
      }
      out.push_back(tensors_[index->at]);
      out.back().name = std::string(*name);
    }
    return out;
  }

  PickleScanner scanner_;
  std::vector<StateValue> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, StateValue> memo_;
  std::vector<std::vector<StateValue>> tuples_;
  std::vector<std::vector<StateValue>> dicts_;  // key, value, key, value, …
  std::vector<PickledTensor> tensors_;          // without names
};

}  // namespace

bool PickledTensor::IsContiguous() const {
  if (numel == 0) return true;
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

StatusOr<std::vector<PickledTensor>> ReadStatePickle(std::string_view bytes) {
  return StateMachine(bytes).Run();
}

}  // namespace anamnesis::torch_file
