// SPDX-License-Identifier: Apache-2.0
#include "common/hub/model_directory.h"

#include <filesystem>
#include <optional>

#include "common/hub/cache.h"
#include "common/hub/pull.h"
#include "common/hub/settings.h"
#include "common/io/file.h"

namespace anamnesis::hub {
namespace {

// Why nothing is downloaded, and what to do.
Status MissingModel(const std::string& model_name, const std::string& revision,
                    const std::string& where, const std::string& asked_by,
                    const std::string& reason) {
  return InvalidArgument(asked_by, ": ", model_name, " is no directory, and its revision ",
                         revision, " is not (or not whole) in the Hugging Face cache (", where,
                         "); ", reason, ": give a directory, or fetch it on a connected machine: ",
                         PullCommand(model_name, revision));
}

}  // namespace

StatusOr<std::string> ResolveModelDirectory(const std::string& model_name,
                                            const std::string& revision, const HubAccess& access) {
  if (IsDirectory(model_name)) {
    std::error_code error;
    const std::filesystem::path canonical = std::filesystem::canonical(model_name, error);
    if (error) return InvalidArgument(access.asked_by, ": ", model_name, ": ", error.message());
    return canonical.string();
  }
  if (!IsModelId(model_name)) {
    return InvalidArgument(access.asked_by, ": ", model_name,
                           " is no directory and no name of the hub (ORG/NAME)");
  }
  const std::string wanted = revision.empty() ? "main" : revision;
  if (!IsRevision(wanted)) {
    return InvalidArgument("model.revision: '", wanted, "': expected a branch, tag or commit");
  }
  ANAM_ASSIGN_OR_RETURN(const HubSettings settings, ReadHubSettings(ProcessEnvironment));
  const ModelCache cache(settings.cache, model_name);
  ANAM_ASSIGN_OR_RETURN(const std::optional<std::string> snapshot, cache.FindSnapshot(wanted));
  if (snapshot.has_value()) return *snapshot;
  if (!access.allowed) {
    return MissingModel(model_name, wanted, cache.folder, access.asked_by,
                        "downloads are not allowed (hub: deny)");
  }
  if (settings.offline) {
    return MissingModel(model_name, wanted, cache.folder, access.asked_by, "HF_HUB_OFFLINE is set");
  }
  PullOptions options;
  options.model = model_name;
  options.revision = wanted;
  options.settings = settings;
  options.progress = [&](const std::string& file, uint64_t done, uint64_t total) {
    if (access.on_phase) access.on_phase("download " + file, done, total);
  };
  const StatusOr<Pulled> pulled = PullModel(options);
  if (!pulled.ok()) return AddContext(pulled.status(), access.asked_by + ": " + model_name);
  return pulled->directory;
}

}  // namespace anamnesis::hub
