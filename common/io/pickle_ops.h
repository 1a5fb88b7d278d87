// SPDX-License-Identifier: Apache-2.0
// Opcodes of Python pickles: names of all, argument forms of those that one of our restricted
// readers accepts. Format: CPython's Lib/pickletools.py.
#pragma once

#include <cstdint>

namespace anamnesis {

enum class PickleArgument : uint8_t {
  kRefused,  // no reader accepts the opcode
  kNone,
  kByte,    // u8
  kShort,   // u16
  kInt,     // i32
  kWord,    // u32
  kEight,   // u64
  kDouble,  // 8 bytes, big-endian IEEE 754
  kText1,   // u8 length, bytes
  kText4,   // u32 length, bytes
  kText8,   // u64 length, bytes
  kLong1,   // u8 length, two's complement little-endian
  kLong4,   // i32 length, two's complement little-endian
  kLines,   // two texts, each ended by a newline
};

struct PickleOp {
  unsigned char code;
  const char* name;
  PickleArgument argument;
};

// nullptr for a byte that is no opcode of any protocol up to 5.
const PickleOp* FindPickleOp(unsigned char code);

namespace pickle_op {
inline constexpr unsigned char kMark = '(', kStop = '.', kBinInt = 'J', kBinInt1 = 'K',
                               kBinInt2 = 'M', kNone = 'N', kBinString = 'T', kShortBinString = 'U',
                               kBinUnicode = 'X', kAppend = 'a', kAppends = 'e', kEmptyDict = '}',
                               kEmptyList = ']', kEmptyTuple = ')', kTuple = 't', kTuple1 = 0x85,
                               kTuple2 = 0x86, kTuple3 = 0x87, kSetItem = 's', kSetItems = 'u',
                               kBinGet = 'h', kLongBinGet = 'j', kBinPut = 'q', kLongBinPut = 'r',
                               kBinFloat = 'G', kProto = 0x80, kNewTrue = 0x88, kNewFalse = 0x89,
                               kLong1 = 0x8a, kLong4 = 0x8b, kShortBinUnicode = 0x8c,
                               kBinUnicode8 = 0x8d, kMemoize = 0x94, kFrame = 0x95,
                               kBinPersId = 'Q', kReduce = 'R', kBuild = 'b', kGlobal = 'c',
                               kNewObj = 0x81, kStackGlobal = 0x93;
}  // namespace pickle_op

}  // namespace anamnesis
