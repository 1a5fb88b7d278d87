// SPDX-License-Identifier: Apache-2.0
// Reading what the API server wrote, of which nothing is sure: members that may be absent or of
// another type. Pure; never throws.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "common/io/json.h"

namespace anamnesis::launch {

// The member, or null where there is none or `object` is no object.
const Json& MemberOf(const Json& object, const char* name);
// The value at a path of members; null where the path ends before.
const Json& ValueAt(const Json& object, std::initializer_list<const char*> path);
// "" / 0 / false where there is none of that type.
std::string TextAt(const Json& object, std::initializer_list<const char*> path);
int64_t NumberAt(const Json& object, std::initializer_list<const char*> path);
bool FlagAt(const Json& object, std::initializer_list<const char*> path);

// The condition of an object's status whose status is "True"; null where there is none.
const Json& ConditionOf(const Json& object, const char* type);

// `kind: Status`: how the API server says that something went wrong.
struct ApiStatus {
  int64_t code = 0;
  std::string reason = {};   // NotFound, AlreadyExists, Forbidden, Invalid, Expired, ...
  std::string message = {};  // for people; bounded and in one line
  int64_t retry_after_seconds = 0;
};
ApiStatus ApiStatusOf(const Json& object);
// Of a body, which may be anything.
ApiStatus ApiStatusOfBody(std::string_view body);

// One line of at most `most` bytes, without control characters: what others wrote, for a message.
std::string OneLine(std::string_view text, size_t most = 500);
// For a value in a query.
std::string QueryEscaped(std::string_view text);

}  // namespace anamnesis::launch
