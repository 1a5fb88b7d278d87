// SPDX-License-Identifier: Apache-2.0
// Which token ends a document: what a model directory's own files say.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/base/status.h"

namespace anamnesis::text {

// The id of `eos_token` of tokenizer_config.json (a string, or an object with `content`), else of
// special_tokens_map.json, else `eos_token_id` of config.json (a number, or the first of a list).
// `id_of_token` looks a token up. kInvalidArgument when no file names one, a file cannot be read as
// JSON, or the token named is not in the vocabulary.
StatusOr<int32_t> ReadEosId(
    const std::string& directory,
    const std::function<std::optional<int32_t>(const std::string&)>& id_of_token);

}  // namespace anamnesis::text
