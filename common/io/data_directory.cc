// SPDX-License-Identifier: Apache-2.0
#include "common/io/data_directory.h"

#include <cstdlib>

namespace anamnesis {

StatusOr<std::string> DefaultDataDirectory() {
  const auto get = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string direct = get("ANAMNESIS_DATA_DIR"); !direct.empty()) return direct;
  if (const std::string xdg = get("XDG_STATE_HOME"); !xdg.empty()) return xdg + "/anamnesis";
  if (const std::string home = get("HOME"); !home.empty()) return home + "/.local/state/anamnesis";
  return InvalidArgument("no data directory: HOME is not set; give --data-dir DIR");
}

}  // namespace anamnesis
