// SPDX-License-Identifier: Apache-2.0
// A byte stream of the rank channel. However it is cut, the same messages come out and the same
// end.
#include <algorithm>
#include <string_view>

#include "common/base/philox.h"
#include "tests/fuzz/fuzz.h"
#include "workers/contract/channel.h"

namespace {

using anamnesis::contract::FrameBuffer;

struct Outcome {
  std::vector<std::string> messages;
  absl::StatusCode end = absl::StatusCode::kOk;
  bool at_border = false;

  bool operator==(const Outcome&) const = default;
};

// Takes every message that is there; false after an error.
bool Drain(FrameBuffer& buffer, Outcome& outcome) {
  for (;;) {
    const auto message = buffer.Next();
    outcome.end = message.status().code();
    if (!message.ok()) return false;
    if (!message->has_value()) return true;
    outcome.messages.push_back((*message)->dump());
  }
}

// `cuts` draws the lengths of the pieces, mostly short; null: one piece.
Outcome Receive(std::string_view bytes, anamnesis::PhiloxStream* cuts) {
  FrameBuffer buffer;
  Outcome outcome;
  bool good = true;
  while (good && !bytes.empty()) {
    const size_t longest = cuts == nullptr ? bytes.size() : cuts->Below(2) == 0 ? 3 : 64;
    const size_t length =
        cuts == nullptr ? longest : std::min(bytes.size(), 1 + cuts->Below(longest));
    buffer.Append(bytes.substr(0, length));
    bytes.remove_prefix(length);
    good = Drain(buffer, outcome);
  }
  if (!good && Drain(buffer, outcome)) __builtin_trap();  // a broken frame stays broken
  outcome.at_border = good && buffer.empty();
  return outcome;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  using anamnesis::contract::EncodeFrame;
  const std::string hello = *EncodeFrame({{"kind", "started"}, {"rank", 1}, {"pid", 77}});
  const std::string step = *EncodeFrame({{"kind", "step"}, {"loss", 1.5}, {"list", {1, "\n", {}}}});
  return {hello, hello + step + hello,
          step + *EncodeFrame({{"kind", "long"}, {"text", std::string(300, 'x')}}) + hello};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = Receive(bytes, nullptr);
  if (whole.end != absl::StatusCode::kOk && whole.end != absl::StatusCode::kDataLoss) {
    __builtin_trap();
  }
  anamnesis::PhiloxStream cuts(size, size == 0 ? 0 : data[size / 2]);
  if (Receive(bytes, &cuts) != whole) __builtin_trap();
  return 0;
}
