// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm_options.h"

#include <charconv>
#include <functional>
#include <map>
#include <set>

namespace anamnesis::launch {
namespace {

constexpr size_t kMaxValueBytes = 256;

bool IsWord(const std::string& text, const std::string& also) {
  if (text.empty() || text.size() > kMaxValueBytes || text[0] == '-') return false;
  for (const char c : text) {
    const bool is_plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!is_plain && also.find(c) == std::string::npos) return false;
  }
  return true;
}

StatusOr<int64_t> WholeNumber(const std::string& text, int64_t least, int64_t most) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty() || value < least || value > most) {
    return InvalidArgument("expected a whole number from ", least, " to ", most);
  }
  return value;
}

// sbatch: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
// days-hours:minutes:seconds.
bool IsTimeLimit(const std::string& text) {
  if (text.empty() || text.size() > 32) return false;
  size_t numbers = 1, digits = 0, days = 0;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      if (++digits > 9) return false;
      continue;
    }
    if (digits == 0 || (c != ':' && c != '-')) return false;
    if (c == '-' && (numbers > 1 || ++days > 1)) return false;
    ++numbers;
    digits = 0;
  }
  return digits > 0 && numbers <= (days > 0 ? 4U : 3U);
}

Status SetTimeLimit(const std::string& value, SlurmOptions* options) {
  if (!IsTimeLimit(value)) {
    return InvalidArgument("expected a time as sbatch takes it: minutes, H:MM:SS or D-HH:MM:SS");
  }
  options->time_limit = value;
  return absl::OkStatus();
}

Status SetGres(const std::string& value, SlurmOptions* options) {
  const Status wrong = InvalidArgument("expected NAME:COUNT or NAME:TYPE:COUNT, such as gpu:1");
  const size_t colon = value.rfind(':');
  if (colon == std::string::npos || !IsWord(value.substr(0, colon), ":._-")) return wrong;
  const StatusOr<int64_t> count = WholeNumber(value.substr(colon + 1), 1, 1024);
  if (!count.ok()) return wrong;
  options->gres_per_rank = {.name = value.substr(0, colon), .count = *count};
  return absl::OkStatus();
}

Status SetMemory(const std::string& value, SlurmOptions* options) {
  const Status wrong = InvalidArgument("expected MiB, or a number with M, G or T, such as 8G");
  if (value.empty()) return wrong;
  int64_t unit = 1;
  std::string number = value;
  if (const char last = value.back(); last < '0' || last > '9') {
    unit = last == 'M' ? 1 : last == 'G' ? 1024 : last == 'T' ? 1024 * 1024 : 0;
    number.pop_back();
  }
  const StatusOr<int64_t> count = WholeNumber(number, 1, int64_t{1} << 30);
  if (unit == 0 || !count.ok()) return wrong;
  options->memory_per_rank_mib = *count * unit;
  return absl::OkStatus();
}

using Setter = std::function<Status(const std::string&, SlurmOptions*)>;

Setter Word(std::string SlurmOptions::*field, std::string also) {
  return [field, also = std::move(also)](const std::string& value, SlurmOptions* options) {
    if (!IsWord(value, also)) {
      return InvalidArgument("expected a name of letters, digits, _ and ", also);
    }
    options->*field = value;
    return absl::OkStatus();
  };
}

Setter Seconds(absl::Duration SlurmOptions::*field, int64_t least, int64_t most) {
  return [=](const std::string& value, SlurmOptions* options) {
    std::string number = value;
    if (!number.empty() && number.back() == 's') number.pop_back();
    ANAM_ASSIGN_OR_RETURN(const int64_t seconds, WholeNumber(number, least, most));
    options->*field = absl::Seconds(seconds);
    return absl::OkStatus();
  };
}

const std::map<std::string, Setter>& Table() {
  static const auto* const table = new std::map<std::string, Setter>{
      {"account", Word(&SlurmOptions::account, ".-")},
      {"constraint", Word(&SlurmOptions::constraint, ".-&|()[]*,:")},
      {"grace", Seconds(&SlurmOptions::grace, 0, 65535)},
      {"gres_per_rank", SetGres},
      {"memory_per_rank", SetMemory},
      {"partition", Word(&SlurmOptions::partition, ".,-")},
      {"patience", Seconds(&SlurmOptions::patience, 1, 600)},
      {"poll", Seconds(&SlurmOptions::poll_interval, 1, 300)},
      {"qos", Word(&SlurmOptions::qos, ".-")},
      {"reservation", Word(&SlurmOptions::reservation, ".,-")},
      {"time_limit", SetTimeLimit},
  };
  return *table;
}

}  // namespace

StatusOr<SlurmOptions> ParseSlurmOptions(const std::vector<std::string>& pairs) {
  SlurmOptions options;
  std::string errors;
  std::set<std::string> seen;
  for (const std::string& pair : pairs) {
    const size_t equals = pair.find('=');
    const std::string key = pair.substr(0, equals);
    const auto found = Table().find(key);
    Status status;
    if (equals == std::string::npos) {
      status = InvalidArgument("expected KEY=VALUE");
    } else if (found == Table().end()) {
      std::string known;
      for (const auto& [name, setter] : Table()) known += (known.empty() ? "" : ", ") + name;
      status = InvalidArgument("no such key; there are ", known);
    } else if (!seen.insert(key).second) {
      status = InvalidArgument("given twice");
    } else {
      status = found->second(pair.substr(equals + 1), &options);
    }
    if (!status.ok()) errors += Cat(errors.empty() ? "" : "\n", pair, ": ", MessageOf(status));
  }
  if (!errors.empty()) return InvalidArgument(errors);
  return options;
}

}  // namespace anamnesis::launch
