// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/workers/prep/pickle_writer.h"
#include "workers/prep/seed_subjects.h"

std::vector<std::string> FuzzSeeds() {
  using namespace std::string_literals;
  return {anamnesis::prep::PickleOf({{1, {2, 3, 4}, {0, 1.5, 2.5}}, {int64_t{1} << 40, {}, {}}}),
          anamnesis::prep::PickleOf({}),
          // Memo, frames, tuples, SETITEM and APPEND.
          "\x80\x02]q\0(}q\1(U\x0asubject_idq\2K\7U\6tokensq\3]q\4(K\1M\1\1J\1\0\0\1eU\ntimestamps("
          "K\0G\0\0\0\0\0\0\0\0K\1tu}"
          "q\5h\2K\1sh\3h\4s}(h\2\x8a\2\0\1h\3h\4ue."s};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto status = anamnesis::prep::ReadSeedSubjects(
      bytes, [](uint64_t, anamnesis::prep::RawSubject&) { return absl::OkStatus(); });
  return status.ok() || status.code() == absl::StatusCode::kInvalidArgument ? 0
                                                                            : (__builtin_trap(), 0);
}
