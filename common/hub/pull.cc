// SPDX-License-Identifier: Apache-2.0
#include "common/hub/pull.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>

#include "absl/time/clock.h"
#include "common/hub/blob.h"
#include "common/hub/cache.h"
#include "common/hub/http.h"
#include "common/io/file.h"
#include "common/io/json.h"
#include "common/io/lock.h"

namespace anamnesis::hub {
namespace {

constexpr int kAttempts = 5;
constexpr uint64_t kMaxListBytes = 32 << 20;
constexpr absl::Duration kLongestWait = absl::Minutes(5);
constexpr absl::Duration kLockPatience = absl::Hours(12);

constexpr std::array<std::string_view, 13> kSmallFiles = {"config.json",
                                                          "generation_config.json",
                                                          "adapter_config.json",
                                                          "tokenizer.json",
                                                          "tokenizer_config.json",
                                                          "special_tokens_map.json",
                                                          "added_tokens.json",
                                                          "vocab.txt",
                                                          "vocab.json",
                                                          "merges.txt",
                                                          "tokenizer.model",
                                                          "chat_template.jinja",
                                                          "chat_template.json"};
// The first that is there is taken.
constexpr std::array<std::string_view, 4> kWeights = {
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json"};
constexpr std::array<std::string_view, 2> kAdapters = {"adapter_model.safetensors",
                                                       "adapter_model.bin"};

std::string Escaped(const std::string& text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.') {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

class Puller {
 public:
  explicit Puller(const PullOptions& options)
      : options_(options),
        cache_(options.settings.cache, options.model),
        http_(options.settings.token, options.stop) {}

  StatusOr<Pulled> Run() {
    ANAM_RETURN_IF_ERROR(ListFiles());
    for (const std::string& folder :
         {cache_.refs(), cache_.blobs(), Cat(cache_.snapshots(), "/", pulled_.commit)}) {
      ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
    }
    // Beside huggingface_hub's own locks, which are by blob.
    ANAM_ASSIGN_OR_RETURN(const FileDescriptor lock,
                          LockPath(cache_.folder + "/.anamnesis.lock", kLockPatience));
    pulled_.directory = Cat(cache_.snapshots(), "/", pulled_.commit);
    const std::vector<std::string> needed = NeededFiles(names_);
    if (std::find(needed.begin(), needed.end(), "config.json") == needed.end() &&
        std::find(needed.begin(), needed.end(), "adapter_config.json") == needed.end()) {
      return InvalidArgument(options_.model,
                             ": the repository has no config.json; a model of "
                             "transformers or an adapter of PEFT is expected");
    }
    for (const std::string& name : needed) {
      ANAM_RETURN_IF_ERROR(FetchFile(name));
      if (!name.ends_with(".index.json")) continue;
      ANAM_ASSIGN_OR_RETURN(const std::string index, ReadFile(pulled_.directory + "/" + name));
      ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> shards,
                            ShardsOfIndex(index, Cat(options_.model, "/", name)));
      for (const std::string& shard : shards) ANAM_RETURN_IF_ERROR(FetchFile(shard));
    }
    ANAM_ASSIGN_OR_RETURN(const bool whole, IsWholeModel(pulled_.directory));
    if (!whole) {
      return InvalidArgument(options_.model,
                             ": the repository has no weights that are read: "
                             "model.safetensors or pytorch_model.bin, whole or with an index");
    }
    ANAM_RETURN_IF_ERROR(NoteRevision());
    return pulled_;
  }

 private:
  // After what attempt to try again, and how long to wait; the reason is the status to return when
  // there is none.
  StatusOr<HttpResponse> WithRetries(const std::function<StatusOr<HttpResponse>()>& attempt) {
    bool had_data_loss = false;
    for (int i = 1;; ++i) {
      StatusOr<HttpResponse> response = attempt();
      absl::Duration wait = absl::Seconds(1 << (i - 1));
      if (response.ok()) {
        if (response->status != 429 && response->status < 500) return response;
        const std::string& asked = response->Header("retry-after");  // seconds, or a date
        if (!asked.empty() && asked.find_first_not_of("0123456789") == std::string::npos) {
          wait = std::min(kLongestWait, absl::Seconds(std::atoll(asked.c_str())));
        }
      } else if (response.status().code() == absl::StatusCode::kDataLoss && !had_data_loss) {
        had_data_loss = true;
      } else if (response.status().code() != absl::StatusCode::kUnavailable) {
        return response;
      }
      if (i == kAttempts) return response;
      ANAM_RETURN_IF_ERROR(Wait(wait));
    }
  }

  Status Wait(absl::Duration wait) {
    if (options_.sleep) {
      options_.sleep(wait);
      return absl::OkStatus();
    }
    const absl::Time end = absl::Now() + wait;
    while (absl::Now() < end) {
      if (options_.stop && options_.stop()) return Aborted(options_.model, ": stopped");
      absl::SleepFor(absl::Milliseconds(100));
    }
    return absl::OkStatus();
  }

  // What a refusal means.
  Status CheckAnswer(const HttpResponse& response, const std::string& what) const {
    const std::string model = Cat(options_.model, " at ", options_.settings.endpoint);
    const bool has_token = !options_.settings.token.empty();
    if (response.status == 401) {
      return Status(absl::StatusCode::kUnauthenticated,
                    Cat(what, ": ", model, " is private, gated or does not exist: ",
                        has_token ? "the token (HF_TOKEN) is not accepted"
                                  : "set HF_TOKEN to a token that may read it"));
    }
    if (response.status == 403) {
      return PermissionDenied(what, ": ", model, " is gated: accept its terms on its page",
                              has_token ? " with the account of the token (HF_TOKEN)"
                                        : " and set HF_TOKEN to a token of that account");
    }
    if (response.status == 404) {
      return NotFound(what, ": ", model, " has no such model, revision '", options_.revision,
                      "' or file");
    }
    if (response.status == 200 || response.status == 206) return absl::OkStatus();
    return Unavailable(what, ": ", model, " answers with HTTP status ", response.status,
                       response.status == 429 ? " (too many requests)" : "");
  }

  Status ListFiles() {
    const std::string url = Cat(options_.settings.endpoint, "/api/models/", options_.model,
                                "/revision/", Escaped(options_.revision));
    ANAM_ASSIGN_OR_RETURN(const HttpResponse response,
                          WithRetries([&] { return http_.Get(url, kMaxListBytes); }));
    ANAM_RETURN_IF_ERROR(CheckAnswer(response, "the list of files"));
    ANAM_ASSIGN_OR_RETURN(const Json info, ParseJson(response.body, url));
    const bool valid = info.is_object() && info.contains("siblings") &&
                       info["siblings"].is_array() && info.contains("sha") &&
                       info["sha"].is_string();
    pulled_.commit = valid ? info["sha"].get<std::string>() : "";
    if (pulled_.commit.size() != 40 || !IsRevision(pulled_.commit) ||
        pulled_.commit.find('/') != std::string::npos) {
      return Unavailable(url,
                         ": expected a commit (sha) and files (siblings); is HF_ENDPOINT a "
                         "hub?");
    }
    for (const Json& sibling : info["siblings"]) {
      if (sibling.is_object() && sibling.contains("rfilename") &&
          sibling["rfilename"].is_string()) {
        names_.push_back(sibling["rfilename"].get<std::string>());
      }
    }
    return absl::OkStatus();
  }

  Status FetchFile(const std::string& name) {
    const std::string url = Cat(options_.settings.endpoint, "/", options_.model, "/resolve/",
                                pulled_.commit, "/", Escaped(name));
    ANAM_ASSIGN_OR_RETURN(const HttpResponse head, WithRetries([&] { return http_.Head(url); }));
    if (head.status < 300 || head.status >= 400) {
      ANAM_RETURN_IF_ERROR(CheckAnswer(head, name));
    }
    ANAM_ASSIGN_OR_RETURN(const BlobInfo info, BlobInfoOf(head, url));
    const std::string blob = Cat(cache_.blobs(), "/", info.etag);
    if (!PathExists(blob)) {
      const uint64_t total = info.size_bytes.value_or(0);
      const auto progress = [&](uint64_t done) {
        if (options_.progress) options_.progress(name, done, total);
      };
      ANAM_ASSIGN_OR_RETURN(const HttpResponse response, WithRetries([&] {
                              return FetchBlob(&http_, url, info, blob, progress,
                                               &pulled_.fetched_bytes);
                            }));
      ANAM_RETURN_IF_ERROR(CheckAnswer(response, name));
    }
    pulled_.files.push_back(name);
    return LinkFile(name, info.etag);
  }

  Status LinkFile(const std::string& name, const std::string& etag) const {
    const std::string link = Cat(pulled_.directory, "/", name);
    const std::string target = Cat("../../blobs/", etag);
    std::error_code error;
    if (std::filesystem::read_symlink(link, error) == target) return absl::OkStatus();
    std::filesystem::remove(link, error);
    if (::symlink(target.c_str(), link.c_str()) == 0) return absl::OkStatus();
    return Internal(link, ": cannot be linked: ", ErrnoText(errno));
  }

  Status NoteRevision() const {
    ANAM_RETURN_IF_ERROR(SyncDirectory(cache_.blobs()));
    ANAM_RETURN_IF_ERROR(SyncDirectory(pulled_.directory));
    if (options_.revision == pulled_.commit) return absl::OkStatus();
    const std::string reference = Cat(cache_.refs(), "/", options_.revision);
    ANAM_RETURN_IF_ERROR(MakeDirectories(reference.substr(0, reference.rfind('/'))));
    return WriteFileDurably(reference, pulled_.commit);
  }

  const PullOptions& options_;
  ModelCache cache_;
  HttpClient http_;
  std::vector<std::string> names_;
  Pulled pulled_;
};

}  // namespace

StatusOr<Pulled> PullModel(const PullOptions& options) {
  if (!IsModelId(options.model)) {
    return InvalidArgument("'", options.model, "' is no model of a hub, expected ORG/NAME");
  }
  if (!IsRevision(options.revision)) {
    return InvalidArgument("revision '", options.revision, "': expected a branch, tag or commit");
  }
  if (options.settings.offline) {
    return FailedPrecondition(
        "HF_HUB_OFFLINE is set, so nothing is downloaded; on a connected "
        "machine: ",
        PullCommand(options.model, options.revision));
  }
  return Puller(options).Run();
}

std::vector<std::string> NeededFiles(const std::vector<std::string>& names) {
  const std::set<std::string_view> present(names.begin(), names.end());
  std::vector<std::string> needed;
  for (const std::string_view name : kSmallFiles) {
    if (present.contains(name)) needed.emplace_back(name);
  }
  const auto add_first = [&](const auto& forms) {
    for (const std::string_view name : forms) {
      if (!present.contains(name)) continue;
      needed.emplace_back(name);
      return;
    }
  };
  add_first(kWeights);
  if (present.contains("adapter_config.json")) add_first(kAdapters);
  return needed;
}

std::string PullCommand(const std::string& model, const std::string& revision) {
  return Cat("anamnesis pull ", model,
             revision.empty() || revision == "main" ? "" : " --revision " + revision);
}

}  // namespace anamnesis::hub
