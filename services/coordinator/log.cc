// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/log.h"

#include "absl/time/clock.h"

namespace anamnesis::coordinator {

void Log::Write(const char* level, const std::string& event, const Json& fields) {
  nlohmann::ordered_json line = {
      {"ts", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone())},
      {"level", level},
      {"component", "coordinator"},
      {"event", event}};
  for (const auto& [key, value] : fields.items()) line[key] = value;
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const std::lock_guard<std::mutex> lock(mutex_);
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

}  // namespace anamnesis::coordinator
