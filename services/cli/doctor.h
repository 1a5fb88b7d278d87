// SPDX-License-Identifier: Apache-2.0
// What `anamnesis doctor` looks at on this machine: one finding each, with what to do about it.
// Reads only, apart from a file that is made and removed to see whether a folder can be written.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "services/cli/connection.h"

namespace anamnesis::cli {

enum class Level { kOk, kWarn, kBad };

struct Finding {
  Level level = Level::kOk;
  std::string subject;  // "gpu", "shared memory", ...
  std::string text;
  std::string remedy;  // "" where nothing is to do
};

struct DoctorOptions {
  std::string data_directory = {};
  std::string output_directory = {};  // "": not looked at
  std::string listen = {};            // HOST:PORT; "": not looked at
};

// All that needs no coordinator.
std::vector<Finding> ExamineMachine(const DoctorOptions& options, const Environment& environment);

// The parts, for tests: what was read goes in.
Finding JudgeDriver(bool present, const std::string& version_text);
Finding JudgeSharedMemory(uint64_t total_bytes, uint64_t free_bytes);
Finding JudgeDisk(const std::string& subject, const std::string& path, uint64_t free_bytes);
Finding JudgeClock(int64_t year, bool monotonic_advances);
Finding JudgeCores(int64_t online, int64_t allowed);

// A line each: "warn  cores  1 of 8 may be used: what to do".
std::string FindingsText(const std::vector<Finding>& findings);
nlohmann::ordered_json FindingsJson(const std::vector<Finding>& findings);
bool HasBad(const std::vector<Finding>& findings);

}  // namespace anamnesis::cli
