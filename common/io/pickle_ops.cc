// SPDX-License-Identifier: Apache-2.0
#include "common/io/pickle_ops.h"

#include <array>

namespace anamnesis {
namespace {

using A = PickleArgument;
namespace op = pickle_op;

constexpr PickleOp kOps[] = {
    {op::kMark, "MARK", A::kNone},
    {op::kStop, "STOP", A::kNone},
    {op::kBinInt, "BININT", A::kInt},
    {op::kBinInt1, "BININT1", A::kByte},
    {op::kBinInt2, "BININT2", A::kShort},
    {op::kNone, "NONE", A::kNone},
    {op::kBinString, "BINSTRING", A::kText4},
    {op::kShortBinString, "SHORT_BINSTRING", A::kText1},
    {op::kBinUnicode, "BINUNICODE", A::kText4},
    {op::kAppend, "APPEND", A::kNone},
    {op::kAppends, "APPENDS", A::kNone},
    {op::kEmptyDict, "EMPTY_DICT", A::kNone},
    {op::kEmptyList, "EMPTY_LIST", A::kNone},
    {op::kEmptyTuple, "EMPTY_TUPLE", A::kNone},
    {op::kTuple, "TUPLE", A::kNone},
    {op::kTuple1, "TUPLE1", A::kNone},
    {op::kTuple2, "TUPLE2", A::kNone},
    {op::kTuple3, "TUPLE3", A::kNone},
    {op::kSetItem, "SETITEM", A::kNone},
    {op::kSetItems, "SETITEMS", A::kNone},
    {op::kBinGet, "BINGET", A::kByte},
    {op::kLongBinGet, "LONG_BINGET", A::kWord},
    {op::kBinPut, "BINPUT", A::kByte},
    {op::kLongBinPut, "LONG_BINPUT", A::kWord},
    {op::kBinFloat, "BINFLOAT", A::kDouble},
    {op::kProto, "PROTO", A::kByte},
    {op::kNewTrue, "NEWTRUE", A::kNone},
    {op::kNewFalse, "NEWFALSE", A::kNone},
    {op::kLong1, "LONG1", A::kLong1},
    {op::kLong4, "LONG4", A::kLong4},
    {op::kShortBinUnicode, "SHORT_BINUNICODE", A::kText1},
    {op::kBinUnicode8, "BINUNICODE8", A::kText8},
    {op::kMemoize, "MEMOIZE", A::kNone},
    {op::kFrame, "FRAME", A::kEight},
    // They name classes and call functions: for readers with a list of the names that they allow.
    {op::kBinPersId, "BINPERSID", A::kNone},
    {op::kReduce, "REDUCE", A::kNone},
    {op::kBuild, "BUILD", A::kNone},
    {op::kGlobal, "GLOBAL", A::kLines},
    {op::kStackGlobal, "STACK_GLOBAL", A::kNone},
    // Refused by every reader: they build objects or belong to protocols 0 and 1.
    {'0', "POP", A::kRefused},
    {'1', "POP_MARK", A::kRefused},
    {'2', "DUP", A::kRefused},
    {'F', "FLOAT", A::kRefused},
    {'I', "INT", A::kRefused},
    {'L', "LONG", A::kRefused},
    {'S', "STRING", A::kRefused},
    {'V', "UNICODE", A::kRefused},
    {'P', "PERSID", A::kRefused},
    {'d', "DICT", A::kRefused},
    {'g', "GET", A::kRefused},
    {'i', "INST", A::kRefused},
    {'l', "LIST", A::kRefused},
    {'o', "OBJ", A::kRefused},
    {'p', "PUT", A::kRefused},
    {'B', "BINBYTES", A::kRefused},
    {'C', "SHORT_BINBYTES", A::kRefused},
    {op::kNewObj, "NEWOBJ", A::kRefused},
    {0x82, "EXT1", A::kRefused},
    {0x83, "EXT2", A::kRefused},
    {0x84, "EXT4", A::kRefused},
    {0x8e, "BINBYTES8", A::kRefused},
    {0x8f, "EMPTY_SET", A::kRefused},
    {0x90, "ADDITEMS", A::kRefused},
    {0x91, "FROZENSET", A::kRefused},
    {0x92, "NEWOBJ_EX", A::kRefused},
    {0x96, "BYTEARRAY8", A::kRefused},
    {0x97, "NEXT_BUFFER", A::kRefused},
    {0x98, "READONLY_BUFFER", A::kRefused},
};

constexpr std::array<const PickleOp*, 256> MakeTable() {
  std::array<const PickleOp*, 256> table{};
  for (const PickleOp& entry : kOps) table[entry.code] = &entry;
  return table;
}

constexpr std::array<const PickleOp*, 256> kTable = MakeTable();

}  // namespace

const PickleOp* FindPickleOp(unsigned char code) { return kTable[code]; }

}  // namespace anamnesis
