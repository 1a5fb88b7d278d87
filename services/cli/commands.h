// SPDX-License-Identifier: Apache-2.0
// The verbs that this program carries out itself. Each takes the words after its name, prints (data
// on standard output, the rest on standard error) and returns the exit code. Main thread only.
#pragma once

#include <string>
#include <vector>

namespace anamnesis::cli {

// submit_command.cc
int RunSubmit(const std::vector<std::string>& words);
// list_command.cc
int RunList(const std::vector<std::string>& words);
int RunGet(const std::vector<std::string>& words);
int RunDescribe(const std::vector<std::string>& words);
int RunExplain(const std::vector<std::string>& words);
// wait_command.cc
int RunWait(const std::vector<std::string>& words);
int RunWatch(const std::vector<std::string>& words);
// logs_command.cc
int RunLogs(const std::vector<std::string>& words);
// metrics_command.cc
int RunMetrics(const std::vector<std::string>& words);
// steer_command.cc
int RunCancel(const std::vector<std::string>& words);
int RunPause(const std::vector<std::string>& words);
int RunResume(const std::vector<std::string>& words);
// checkpoint_command.cc
int RunCheckpoint(const std::vector<std::string>& words);
// down_command.cc
int RunDown(const std::vector<std::string>& words);
// node_command.cc
int RunNode(const std::vector<std::string>& words);
// pull_command.cc
int RunPull(const std::vector<std::string>& words);
// doctor_command.cc
int RunDoctor(const std::vector<std::string>& words);

}  // namespace anamnesis::cli
