// SPDX-License-Identifier: Apache-2.0
// A restricted reader of Python pickles, protocols 2 to 5: None, bool, int (64 bits), float, str,
// list, tuple, dict and the memo; nothing else, and nothing is ever executed. Every other opcode is
// refused with its name and offset. The stream is scanned once without building anything (grammar,
// truncation, which memo slots are read back), then the items of the top-level list are handed over
// one by one, so that only what is still referred to stays in memory. Memory is a constant times
// the size of the pickle; nesting is bounded. Thread-safe. Format: CPython's Lib/pickletools.py
// (the documentation of each opcode).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::prep {

struct PickleContainer;

struct PickleNone {};
struct PickleMark {};

// A value on the reader's stack. Strings and containers are shared because the memo may refer to
// them again.
using PickleValue =
    std::variant<PickleNone, PickleMark, bool, int64_t, double, std::shared_ptr<const std::string>,
                 std::shared_ptr<PickleContainer>>;

enum class PickleType : uint8_t { kList, kTuple, kDict };

struct PickleContainer {
  PickleType type = PickleType::kList;
  bool open = true;                // still on the stack as the thing being built
  int depth = 1;                   // 1 + the deepest child's
  std::vector<PickleValue> items;  // of a dict: key, value, key, value, …
};

// "int", "str", "dict", … for error texts.
const char* PickleTypeName(const PickleValue& value);

// Takes item `index` of the top-level list. An error ends the reading and is returned as it is.
using PickleItemSink = std::function<Status(uint64_t index, const PickleValue& item)>;

// kInvalidArgument with offset, opcode name and what was expected; `offset` of the text is in bytes
// from the start.
Status ReadPickledList(std::string_view bytes, const PickleItemSink& sink);

}  // namespace anamnesis::prep
