// SPDX-License-Identifier: Apache-2.0
#include "common/hub/settings.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "common/io/file.h"

namespace anamnesis::hub {
namespace {

constexpr const char* kDefaultEndpoint = "https://huggingface.co";

std::string WithoutEnd(std::string text, std::string_view characters) {
  const size_t end = text.find_last_not_of(characters);
  text.resize(end == std::string::npos ? 0 : end + 1);
  return text;
}

std::string TrimmedToken(const std::string& text) {
  const std::string token = WithoutEnd(text, " \r\n\t");
  const size_t begin = token.find_first_not_of(" \r\n\t");
  return begin == std::string::npos ? "" : token.substr(begin);
}

// huggingface_hub takes 1, ON, YES and TRUE in any case.
bool IsTrue(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
}

StatusOr<std::string> ReadToken(const Environment& environment, const std::string& home) {
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    if (const std::string token = TrimmedToken(environment(name)); !token.empty()) {
      return token;
    }
  }
  std::string path = environment("HF_TOKEN_PATH");
  if (path.empty()) path = home + "/token";
  if (!PathExists(path)) return std::string();
  ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  return TrimmedToken(content);
}

}  // namespace

std::string ProcessEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

StatusOr<HubSettings> ReadHubSettings(const Environment& environment) {
  HubSettings settings;
  std::string home = environment("HF_HOME");
  if (home.empty()) {
    std::string caches = environment("XDG_CACHE_HOME");
    if (caches.empty() && !environment("HOME").empty()) caches = environment("HOME") + "/.cache";
    if (!caches.empty()) home = caches + "/huggingface";
  }
  settings.cache = environment("HF_HUB_CACHE");
  if (settings.cache.empty()) settings.cache = environment("HUGGINGFACE_HUB_CACHE");
  if (settings.cache.empty() && home.empty()) {
    return InvalidArgument("no Hugging Face cache: set HF_HUB_CACHE, HF_HOME or HOME");
  }
  if (settings.cache.empty()) settings.cache = home + "/hub";
  settings.endpoint = WithoutEnd(environment("HF_ENDPOINT"), "/ ");
  if (settings.endpoint.empty()) settings.endpoint = kDefaultEndpoint;
  if (!settings.endpoint.starts_with("http://") && !settings.endpoint.starts_with("https://")) {
    return InvalidArgument("HF_ENDPOINT: expected a URL that begins with http:// or https://");
  }
  ANAM_ASSIGN_OR_RETURN(settings.token, ReadToken(environment, home));
  if (std::any_of(settings.token.begin(), settings.token.end(),
                  [](char c) { return c <= ' ' || c > '~'; })) {
    return InvalidArgument("HF_TOKEN: the token has characters that no header can hold");
  }
  settings.offline = IsTrue(environment("HF_HUB_OFFLINE"));
  return settings;
}

}  // namespace anamnesis::hub
