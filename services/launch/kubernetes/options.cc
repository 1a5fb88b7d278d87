// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/options.h"

#include <algorithm>
#include <charconv>
#include <regex>
#include <utility>

#include "common/io/file.h"

namespace anamnesis::launch {
namespace {

using Take = std::function<Status(const std::string& value, KubernetesOptions* options)>;

struct Key {
  const char* name;
  const char* value;  // what it looks like
  const char* meaning;
  Take take;
  bool repeats = false;
};

bool Matches(const std::string& text, const char* pattern) {
  return text.size() <= 512 && std::regex_match(text, std::regex(pattern));
}

constexpr char kLabel[] = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
constexpr char kSubdomain[] = "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?";
constexpr char kQualified[] =
    "([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
constexpr char kLabelValue[] = "([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?";
constexpr char kQuantity[] = "[0-9]{1,15}(\\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?";
constexpr char kPath[] = "/[^:]*";

Take Text(std::string KubernetesOptions::*field, const char* pattern, const char* expected) {
  return [field, pattern, expected](const std::string& value, KubernetesOptions* options) {
    if (!Matches(value, pattern)) return InvalidArgument("'", value, "' is no ", expected);
    options->*field = value;
    return absl::OkStatus();
  };
}

Take Count(int64_t KubernetesOptions::*field, int64_t least, int64_t most) {
  return [=](const std::string& value, KubernetesOptions* options) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < least ||
        number > most) {
      return InvalidArgument("'", value, "' is no number from ", least, " to ", most);
    }
    options->*field = number;
    return absl::OkStatus();
  };
}

Take Time(absl::Duration KubernetesOptions::*field, absl::Duration least) {
  return [=](const std::string& value, KubernetesOptions* options) {
    absl::Duration duration;
    if (!absl::ParseDuration(value, &duration) || duration < least ||
        duration > absl::Hours(24 * 366)) {
      return InvalidArgument("'", value, "' is no time of at least ", absl::FormatDuration(least),
                             " such as 90s, 10m, 2h");
    }
    options->*field = duration;
    return absl::OkStatus();
  };
}

Status TakeMount(const std::string& value, KubernetesOptions* options) {
  ClaimMount mount;
  std::string rest = value;
  if (rest.ends_with(":ro")) {
    mount.read_only = true;
    rest.resize(rest.size() - 3);
  }
  const size_t colon = rest.find(':');
  if (colon != std::string::npos) {
    mount.claim = rest.substr(0, colon);
    mount.path = rest.substr(colon + 1);
  }
  if (!Matches(mount.claim, kSubdomain) || !Matches(mount.path, kPath) || mount.path == "/") {
    return InvalidArgument("'", value, "' is no CLAIM:/PATH[:ro]");
  }
  for (const ClaimMount& other : options->mounts) {
    if (other.path == mount.path) return InvalidArgument("two mounts at ", mount.path);
  }
  options->mounts.push_back(std::move(mount));
  return absl::OkStatus();
}

Status TakeToleration(const std::string& value, KubernetesOptions* options) {
  PodToleration toleration;
  std::string rest = value;
  if (const size_t colon = rest.rfind(':'); colon != std::string::npos) {
    toleration.effect = rest.substr(colon + 1);
    rest.resize(colon);
    if (!Matches(toleration.effect, "NoSchedule|PreferNoSchedule|NoExecute")) {
      return InvalidArgument("'", toleration.effect,
                             "' is no NoSchedule, PreferNoSchedule or NoExecute");
    }
  }
  const size_t equals = rest.find('=');
  toleration.key = rest.substr(0, equals);
  if (equals != std::string::npos) toleration.value = rest.substr(equals + 1);
  if (!Matches(toleration.key, kQualified) || !Matches(toleration.value, kLabelValue)) {
    return InvalidArgument("'", value, "' is no KEY[=VALUE][:EFFECT]");
  }
  options->tolerations.push_back(std::move(toleration));
  return absl::OkStatus();
}

Take Pair(std::map<std::string, std::string> KubernetesOptions::*field, const char* name_pattern,
          const char* value_pattern, const char* expected) {
  return [=](const std::string& value, KubernetesOptions* options) {
    const size_t equals = value.find('=');
    if (equals == std::string::npos || !Matches(value.substr(0, equals), name_pattern) ||
        !Matches(value.substr(equals + 1), value_pattern)) {
      return InvalidArgument("'", value, "' is no ", expected);
    }
    if (!(options->*field).emplace(value.substr(0, equals), value.substr(equals + 1)).second) {
      return InvalidArgument("two values for ", value.substr(0, equals));
    }
    return absl::OkStatus();
  };
}

Status TakeServer(const std::string& value, KubernetesOptions* options) {
  const bool loopback =
      Matches(value, "http://(127\\.0\\.0\\.1|localhost|\\[::1\\])(:[0-9]{1,5})?/?");
  if (!loopback && !Matches(value, "https://[-A-Za-z0-9._\\[\\]:]+/?")) {
    return InvalidArgument("'", value, "' is no https://HOST:PORT");
  }
  options->api_server = value.ends_with('/') ? value.substr(0, value.size() - 1) : value;
  return absl::OkStatus();
}

Status TakePullSecret(const std::string& value, KubernetesOptions* options) {
  if (!Matches(value, kSubdomain)) return InvalidArgument("'", value, "' is no name of a Secret");
  options->image_pull_secrets.push_back(value);
  return absl::OkStatus();
}

const std::vector<Key>& Keys() {
  using O = KubernetesOptions;
  static const auto* keys = new std::vector<Key>{
      {"api_server", "https://HOST:PORT", "the API server (in a pod: the cluster's own)",
       TakeServer},
      {"token_file", "FILE", "token of the service account, read again when it changes",
       Text(&O::token_file, kPath, "absolute path")},
      {"ca_file", "FILE", "certificates that the API server's one is checked against",
       Text(&O::ca_file, kPath, "absolute path")},
      {"namespace", "NAME", "of the jobs (in a pod: the pod's own)",
       Text(&O::name_space, kLabel, "name of a namespace")},
      {"owner", "KIND/NAME", "object of ours with which the jobs are removed",
       Text(&O::owner,
            "(StatefulSet|Deployment|Pod|ConfigMap)/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?",
            "StatefulSet/NAME, Deployment/NAME, Pod/NAME or ConfigMap/NAME")},
      {"name", "NAME", "begins every object's name; one for each coordinator of a namespace",
       Text(&O::name, "[a-z]([-a-z0-9]{0,28}[a-z0-9])?", "name of at most 30 of a-z, 0-9 and -")},
      {"request_deadline", "TIME", "of one request to the API server",
       Time(&O::request_deadline, absl::Seconds(1))},
      {"requests_per_second", "N", "most requests to the API server",
       Count(&O::requests_per_second, 1, 1000)},
      {"image", "IMAGE", "with the worker's programs",
       Text(&O::image, "[A-Za-z0-9][-A-Za-z0-9._/:@]*", "name of an image")},
      {"image_pull_policy", "POLICY", "Always, IfNotPresent or Never",
       Text(&O::image_pull_policy, "Always|IfNotPresent|Never", "Always, IfNotPresent or Never")},
      {"image_pull_secret", "NAME", "Secret of the image's registry", TakePullSecret, true},
      {"worker", "PROGRAM", "the worker in the image",
       Text(&O::worker, "[-A-Za-z0-9._/]+", "program")},
      {"service_account", "NAME", "of the workers, who get no token of it",
       Text(&O::service_account, kSubdomain, "name of a service account")},
      {"user", "UID", "that runs the worker; 0: the image's, which must not be root",
       Count(&O::user, 0, 2147483647)},
      {"group", "GID", "of the worker's files", Count(&O::group, 0, 2147483647)},
      {"cpu_per_rank", "QUANTITY", "such as 4 or 500m",
       Text(&O::cpu_per_rank, kQuantity, "quantity")},
      {"memory_per_rank", "QUANTITY", "such as 16Gi: requested, and the limit",
       Text(&O::memory_per_rank, kQuantity, "quantity")},
      {"gpu_resource", "NAME", "what a GPU is called here",
       Text(&O::gpu_resource, kQualified, "name of a resource")},
      {"gpus_per_rank", "N", "1 with GPUs, 0 without", Count(&O::gpus_per_rank, 0, 1)},
      {"shared_memory", "QUANTITY", "size of /dev/shm",
       Text(&O::shared_memory, kQuantity, "quantity")},
      {"mount", "CLAIM:/PATH[:ro]", "a volume claim of the namespace, in every worker", TakeMount,
       true},
      {"env", "NAME=VALUE", "a variable of every worker",
       Pair(&O::environment, "[A-Za-z_][A-Za-z0-9_]*", "[^\\n]*", "NAME=VALUE"), true},
      {"grace", "TIME", "from SIGTERM to SIGKILL: to save a checkpoint",
       Time(&O::grace, absl::Seconds(1))},
      {"queue", "NAME", "Kueue's LocalQueue that admits the jobs",
       Text(&O::queue, kSubdomain, "name of a queue")},
      {"priority_class", "NAME", "of the workers",
       Text(&O::priority_class, kSubdomain, "name of a priority class")},
      {"runtime_class", "NAME", "of the workers, such as nvidia",
       Text(&O::runtime_class, kSubdomain, "name of a runtime class")},
      {"node_selector", "LABEL=VALUE", "of the nodes that may be used",
       Pair(&O::node_selector, kQualified, kLabelValue, "LABEL=VALUE"), true},
      {"toleration", "KEY[=VALUE][:EFFECT]", "of a node's taint", TakeToleration, true},
      {"node_patience", "TIME", "of a node that does not answer, before its pods are given up",
       Time(&O::node_patience, absl::ZeroDuration())},
      {"start_patience", "TIME",
       "of a container that cannot start (no such image), before the job is refused",
       Time(&O::start_patience, absl::ZeroDuration())},
      {"time_limit", "TIME", "of an attempt (activeDeadlineSeconds); 0s: none",
       Time(&O::time_limit, absl::ZeroDuration())},
  };
  return *keys;
}

std::string Trimmed(std::string text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  return text;
}

// What a pod is given.
Status FillIn(const EnvironmentReader& environment, const std::string& mounted,
              KubernetesOptions* options) {
  if (options->api_server.empty()) {
    const std::string host = environment("KUBERNETES_SERVICE_HOST");
    const std::string port = environment("KUBERNETES_SERVICE_PORT");
    if (host.empty() || port.empty()) {
      return NotFound(
          "no API server: this is no pod ($KUBERNETES_SERVICE_HOST is not set); name it with "
          "--engine api_server=https://HOST:PORT");
    }
    const bool ipv6 = host.find(':') != std::string::npos;
    ANAM_RETURN_IF_ERROR(
        TakeServer(Cat("https://", ipv6 ? "[" : "", host, ipv6 ? "]:" : ":", port), options));
  }
  if (options->token_file.empty() && PathExists(mounted + "/token")) {
    options->token_file = mounted + "/token";
  }
  if (options->ca_file.empty() && PathExists(mounted + "/ca.crt")) {
    options->ca_file = mounted + "/ca.crt";
  }
  if (options->name_space.empty()) {
    const StatusOr<std::string> own = ReadFile(mounted + "/namespace");
    if (!own.ok()) return NotFound("no namespace: name it with --engine namespace=NAME");
    options->name_space = Trimmed(*own);
  }
  if (options->image.empty()) {
    return NotFound("no image of the workers: name it with --engine image=IMAGE");
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<KubernetesOptions> ParseKubernetesOptions(const std::vector<std::string>& words,
                                                   const EnvironmentReader& environment,
                                                   const std::string& mounted) {
  KubernetesOptions options;
  std::string problems;
  std::map<std::string, int> seen;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const auto key = std::find_if(Keys().begin(), Keys().end(),
                                  [&](const Key& candidate) { return name == candidate.name; });
    Status status;
    if (equals == std::string::npos) {
      status = InvalidArgument("'", word, "' is no KEY=VALUE");
    } else if (key == Keys().end()) {
      status = InvalidArgument("'", name, "' is no key of kubernetes (see anamnesis up --help)");
    } else if (++seen[name] > 1 && !key->repeats) {
      status = InvalidArgument(name, " is given twice");
    } else {
      status = AddContext(key->take(word.substr(equals + 1), &options), name);
    }
    if (!status.ok()) problems += Cat(problems.empty() ? "" : "; ", MessageOf(status));
  }
  if (!problems.empty()) return InvalidArgument("--engine: ", problems);
  ANAM_RETURN_IF_ERROR(FillIn(environment, mounted, &options));
  return options;
}

std::string DescribeKubernetesOptions() {
  std::string text;
  for (const Key& key : Keys()) {
    text += Cat(key.name, "=", key.value, key.repeats ? " (repeats)" : "", ": ", key.meaning, "\n");
  }
  return text;
}

}  // namespace anamnesis::launch
