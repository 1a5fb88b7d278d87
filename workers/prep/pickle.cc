// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/pickle.h"

#include <algorithm>
#include <optional>

#include "common/io/pickle_scan.h"

namespace anamnesis::prep {
namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxMarks = 32;

namespace op = pickle_op;
using Instruction = PickleInstruction;

// What the reader's header lists.
const PickleDialect& Dialect() {
  static const PickleDialect dialect = [] {
    PickleDialect made;
    for (int code = 0; code < 256; ++code) {
      const PickleOp* entry = FindPickleOp(static_cast<unsigned char>(code));
      made.accepted[static_cast<size_t>(code)] =
          entry != nullptr && entry->argument != PickleArgument::kRefused;
    }
    for (const unsigned char code :
         {op::kBinPersId, op::kReduce, op::kBuild, op::kGlobal, op::kStackGlobal}) {
      made.accepted[code] = false;
    }
    made.refusal =
        "only lists, dicts, tuples, numbers, strings, True, False and None of protocols 2 to 5 "
        "are read (convert arrays and objects to plain lists)";
    return made;
  }();
  return dialect;
}

std::string At(const Instruction& instruction) { return instruction.At(); }

// Walks over all instructions without building anything: grammar up to STOP, nothing after it, and
// which memo slots are read back (the others need not keep what they name).
Status FindUsedSlots(std::string_view bytes, std::vector<uint32_t>* used) {
  PickleScanner scanner(bytes, Dialect());
  Instruction in;
  bool first = true;
  while (true) {
    ANAM_RETURN_IF_ERROR(scanner.Next(&in));
    const unsigned char code = in.op->code;
    if (first != (code == op::kProto)) {
      return InvalidArgument(At(in), first ? ", expected PROTO (protocols 2 to 5) at the start"
                                           : ", expected it only at the start");
    }
    if (first && (in.number < 2 || in.number > 5)) {
      return InvalidArgument("pickle protocol ", in.number, ", expected 2 to 5");
    }
    first = false;
    if (code == op::kBinGet || code == op::kLongBinGet)
      used->push_back(static_cast<uint32_t>(in.number));
    if (code == op::kStop) break;
  }
  if (!scanner.at_end()) {
    return InvalidArgument(bytes.size() - scanner.position(),
                           " bytes after the end of the pickle at offset ", scanner.position());
  }
  std::sort(used->begin(), used->end());
  used->erase(std::unique(used->begin(), used->end()), used->end());
  return absl::OkStatus();
}

using ContainerPointer = std::shared_ptr<PickleContainer>;

PickleContainer* AsContainer(const PickleValue& value) {
  const auto* pointer = std::get_if<ContainerPointer>(&value);
  return pointer != nullptr ? pointer->get() : nullptr;
}

bool IsMark(const PickleValue& value) { return std::holds_alternative<PickleMark>(value); }

class Machine {
 public:
  Machine(std::string_view bytes, std::vector<uint32_t> used_slots, const PickleItemSink& sink)
      : scanner_(bytes, Dialect()),
        used_(std::move(used_slots)),
        memo_(used_.size(), PickleMark{}),
        sink_(sink) {}

  Status Run() {
    Instruction in;
    while (true) {
      ANAM_RETURN_IF_ERROR(scanner_.Next(&in));
      if (in.op->code == op::kStop) return Stop(in);
      ANAM_RETURN_IF_ERROR(Execute(in));
    }
  }

 private:
  Status Execute(const Instruction& in) {
    switch (in.op->code) {
      case op::kProto:
      case op::kFrame:
        return absl::OkStatus();
      case op::kMark:
        if (marks_.size() >= kMaxMarks) return TooDeep(in);
        marks_.push_back(stack_.size());
        stack_.emplace_back(PickleMark{});
        return absl::OkStatus();
      case op::kNone:
        return Push(PickleNone{});
      case op::kNewTrue:
      case op::kNewFalse:
        return Push(in.op->code == op::kNewTrue);
      case op::kBinInt:
      case op::kBinInt1:
      case op::kBinInt2:
      case op::kLong1:
      case op::kLong4:
        return Push(in.number);
      case op::kBinFloat:
        return Push(in.real);
      case op::kBinString:
      case op::kShortBinString:
      case op::kBinUnicode:
      case op::kShortBinUnicode:
      case op::kBinUnicode8:
        return Push(std::make_shared<const std::string>(in.text));
      case op::kEmptyList:
        return PushContainer(PickleType::kList, true);
      case op::kEmptyDict:
        return PushContainer(PickleType::kDict, true);
      case op::kEmptyTuple:
        return PushContainer(PickleType::kTuple, false);
      case op::kTuple:
        return Tuple(in, std::nullopt);
      case op::kTuple1:
      case op::kTuple2:
      case op::kTuple3:
        return Tuple(in, in.op->code - op::kTuple1 + 1);
      case op::kAppend:
        return Fill(in, PickleType::kList, 1);
      case op::kAppends:
        return Fill(in, PickleType::kList, std::nullopt);
      case op::kSetItem:
        return Fill(in, PickleType::kDict, 2);
      case op::kSetItems:
        return Fill(in, PickleType::kDict, std::nullopt);
      case op::kBinPut:
      case op::kLongBinPut:
        return Put(in, static_cast<uint64_t>(in.number));
      case op::kMemoize:
        return Put(in, num_memoized_);
      case op::kBinGet:
      case op::kLongBinGet:
        return Get(in);
      default:
        return Internal("pickle opcode ", At(in), " is accepted and not executed");
    }
  }

  static Status TooDeep(const Instruction& in) {
    return InvalidArgument(At(in), ": nested deeper than ", kMaxDepth, " levels");
  }

  Status Push(PickleValue value) {
    stack_.push_back(std::move(value));
    return absl::OkStatus();
  }

  // A dict that begins right after another container among the items of the top-level list shows
  // that the one before is complete (a dict is never a key).
  Status PushContainer(PickleType type, bool open) {
    const bool sibling = marks_.size() == 1 && marks_[0] == 1 && stack_.size() == 3 && RootOpen() &&
                         AsContainer(stack_[2]) != nullptr;
    if (type == PickleType::kDict && sibling) ANAM_RETURN_IF_ERROR(EmitFrom(2));
    auto container = std::make_shared<PickleContainer>();
    container->type = type;
    container->open = open;
    return Push(std::move(container));
  }

  bool RootOpen() const {
    const PickleContainer* root = stack_.empty() ? nullptr : AsContainer(stack_[0]);
    return root != nullptr && root->type == PickleType::kList && root->open;
  }

  // Hands the stack's entries from `begin` on to the sink and drops them.
  Status EmitFrom(size_t begin) {
    for (size_t i = begin; i < stack_.size(); ++i) {
      if (PickleContainer* container = AsContainer(stack_[i])) container->open = false;
      ANAM_RETURN_IF_ERROR(sink_(num_emitted_++, stack_[i]));
    }
    stack_.resize(begin);
    return absl::OkStatus();
  }

  // Position of the first of the values that an opcode takes: `count` of them, or all above the
  // topmost mark.
  Status Operands(const Instruction& in, std::optional<size_t> count, size_t* begin) {
    const size_t floor = marks_.empty() ? 0 : marks_.back() + 1;
    if (count.has_value()) {
      if (stack_.size() < floor + *count) return Underflow(in);
      *begin = stack_.size() - *count;
      return absl::OkStatus();
    }
    if (marks_.empty()) return InvalidArgument(At(in), ": there is no mark on the stack");
    *begin = floor;
    return absl::OkStatus();
  }

  static Status Underflow(const Instruction& in) {
    return InvalidArgument(At(in), ": too few values on the stack");
  }

  // Moves the values from `begin` on into `target`.
  Status MoveInto(const Instruction& in, size_t begin, PickleContainer* target) {
    for (size_t i = begin; i < stack_.size(); ++i) {
      if (PickleContainer* child = AsContainer(stack_[i])) {
        child->open = false;
        target->depth = std::max(target->depth, child->depth + 1);
      }
      target->items.push_back(std::move(stack_[i]));
    }
    if (target->depth > kMaxDepth) return TooDeep(in);
    stack_.resize(begin);
    return absl::OkStatus();
  }

  Status Tuple(const Instruction& in, std::optional<size_t> count) {
    size_t begin = 0;
    ANAM_RETURN_IF_ERROR(Operands(in, count, &begin));
    auto tuple = std::make_shared<PickleContainer>();
    tuple->type = PickleType::kTuple;
    tuple->open = false;
    ANAM_RETURN_IF_ERROR(MoveInto(in, begin, tuple.get()));
    if (!count.has_value()) PopMark();
    return Push(std::move(tuple));
  }

  void PopMark() {
    stack_.pop_back();
    marks_.pop_back();
  }

  // APPEND(S) and SETITEM(S). Only a container that is still being built is open: one that went
  // into another or that the memo gave back is not, so no value can come to hold itself.
  Status Fill(const Instruction& in, PickleType type, std::optional<size_t> count) {
    size_t begin = 0;
    ANAM_RETURN_IF_ERROR(Operands(in, count, &begin));
    const size_t end_of_target = count.has_value() ? begin : begin - 1;  // a mark lies between
    const size_t marks_below = count.has_value() ? marks_.size() : marks_.size() - 1;
    const size_t floor = marks_below == 0 ? 0 : marks_[marks_below - 1] + 1;
    if (end_of_target <= floor) return Underflow(in);
    const size_t target_position = end_of_target - 1;
    PickleContainer* target = AsContainer(stack_[target_position]);
    if (target == nullptr || target->type != type || !target->open) {
      return InvalidArgument(At(in), ": expected a ", type == PickleType::kList ? "list" : "dict",
                             " to fill that nothing refers to yet, found ",
                             PickleTypeName(stack_[target_position]));
    }
    if (type == PickleType::kDict && (stack_.size() - begin) % 2 != 0) {
      return InvalidArgument(At(in), ": a key without a value");
    }
    if (target_position == 0 && type == PickleType::kList) {
      ANAM_RETURN_IF_ERROR(EmitFrom(begin));
    } else {
      ANAM_RETURN_IF_ERROR(MoveInto(in, begin, target));
    }
    if (!count.has_value()) PopMark();
    return absl::OkStatus();
  }

  PickleValue* Slot(uint64_t slot) {
    const auto found = std::lower_bound(used_.begin(), used_.end(), slot);
    return found != used_.end() && *found == slot
               ? &memo_[static_cast<size_t>(found - used_.begin())]
               : nullptr;
  }

  // A slot that holds a mark has not been filled.
  Status Put(const Instruction& in, uint64_t slot) {
    ++num_memoized_;
    if (stack_.empty() || IsMark(stack_.back())) return Underflow(in);
    if (PickleValue* place = Slot(slot)) *place = stack_.back();
    return absl::OkStatus();
  }

  Status Get(const Instruction& in) {
    const PickleValue* place = Slot(static_cast<uint64_t>(in.number));
    if (place == nullptr || IsMark(*place)) {
      return InvalidArgument(At(in), ": memo slot ", in.number, " has not been filled");
    }
    // What has been read back is complete: filling it further is refused, so that nothing comes to
    // hold itself.
    if (PickleContainer* container = AsContainer(*place)) container->open = false;
    return Push(*place);
  }

  Status Stop(const Instruction& in) {
    if (stack_.size() != 1 || !RootOpen()) {
      return InvalidArgument(At(in), ": expected one list as the whole pickle, found ",
                             stack_.empty() ? "nothing" : PickleTypeName(stack_[0]),
                             stack_.size() > 1 ? " and more" : "");
    }
    return absl::OkStatus();
  }

  PickleScanner scanner_;
  std::vector<uint32_t> used_;     // memo slots that are read back, sorted
  std::vector<PickleValue> memo_;  // parallel to used_; a mark where nothing has been put
  std::vector<PickleValue> stack_;
  std::vector<size_t> marks_;  // positions of the marks in stack_
  uint64_t num_memoized_ = 0;  // MEMOIZE fills the next slot
  uint64_t num_emitted_ = 0;
  const PickleItemSink& sink_;
};

}  // namespace

const char* PickleTypeName(const PickleValue& value) {
  if (const PickleContainer* container = AsContainer(value)) {
    switch (container->type) {
      case PickleType::kList:
        return "list";
      case PickleType::kTuple:
        return "tuple";
      case PickleType::kDict:
        return "dict";
    }
  }
  static constexpr const char* kNames[] = {"None",  "mark", "bool",     "int",
                                           "float", "str",  "container"};
  return kNames[value.index()];
}

Status ReadPickledList(std::string_view bytes, const PickleItemSink& sink) {
  std::vector<uint32_t> used;
  ANAM_RETURN_IF_ERROR(FindUsedSlots(bytes, &used));
  return Machine(bytes, std::move(used), sink).Run();
}

}  // namespace anamnesis::prep
