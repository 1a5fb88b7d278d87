// SPDX-License-Identifier: Apache-2.0
// The JSON texts of the store's columns: the body of a job, the overrides of its spec, the metrics
// of a point. Errors of reading are kDataLoss; they name `source` and the key, never a value.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "services/core/job.h"

namespace anamnesis::store {

// All of a job but what job_specs holds: task, configuration, overrides, working directory and
// resolved JSON.
std::string BodyOf(const core::Job& job);
Status ReadBody(const std::string& body, const std::string& source, core::Job* job);

std::string OverridesToJson(const std::vector<std::string>& overrides);
StatusOr<std::vector<std::string>> OverridesFromJson(const std::string& text,
                                                     const std::string& source);

std::string MetricsToJson(const std::map<std::string, double>& values);
StatusOr<std::map<std::string, double>> MetricsFromJson(const std::string& text,
                                                        const std::string& source);

}  // namespace anamnesis::store
