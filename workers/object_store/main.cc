// SPDX-License-Identifier: Apache-2.0
// anamnesis-store: folders in an object store, for the worker and for people
// (docs/formats/checkpoint.md, Uploads). Says an error as store_errors.h does.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "common/io/store_url.h"
#include "workers/object_store/object_store.h"
#include "workers/object_store/store_errors.h"

namespace anamnesis::object_store {
namespace {

constexpr std::chrono::milliseconds kLook{200};

int Say(const Status& status) {
  if (!status.ok()) std::fprintf(stderr, "%s\n", ErrorLine(status).c_str());
  return ExitCodeOf(status);
}

// Ends the process when the store says nothing for too long: a call of the library may then still
// wait, and takes no interruption.
class Watch {
 public:
  Watch(std::string url, double seconds) : url_(std::move(url)), seconds_(seconds) {
    std::thread([this] { Run(); }).detach();
  }
  void Answered() { last_ = Now(); }

 private:
  static double Now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  [[noreturn]] void Run() {
    for (;;) {
      std::this_thread::sleep_for(kLook);
      if (Now() - last_ < seconds_) continue;
      const Status status =
          Unavailable(url_, ": the checkpoint store has not answered for ", seconds_, " s");
      std::fprintf(stderr, "%s\n", ErrorLine(status).c_str());
      ::_exit(ExitCodeOf(status));
    }
  }

  const std::string url_;
  const double seconds_;
  std::atomic<double> last_ = Now();
};

int Main(int argc, char** argv) {
  CLI::App app(
      "Folders in an S3-compatible object store. AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, "
      "AWS_SECRET_ACCESS_KEY and AWS_CA_BUNDLE say which store and who asks.",
      "anamnesis-store");
  app.require_subcommand(1);
  double timeout = 60;
  bool with_parent = false;
  std::string folder, url, record;
  app.add_option("--timeout", timeout, "Seconds without an answer until it gives up")
      ->check(CLI::PositiveNumber)
      ->envname("ANAMNESIS_STORE_TIMEOUT")
      ->capture_default_str();
  app.add_flag("--with-parent", with_parent, "Ends when the process that started it does");
  CLI::App* put = app.add_subcommand("put", "Sends the files of a folder, manifest.json last");
  put->add_option("FOLDER", folder)->required();
  put->add_option("URL", url)->required();
  put->add_option("--record", record, "A file that goes with them as .run.json");
  CLI::App* get = app.add_subcommand("get", "Brings the files beneath a URL into a new folder");
  get->add_option("URL", url)->required();
  get->add_option("FOLDER", folder)->required();
  CLI::App* list = app.add_subcommand("list", "Prints what lies beneath a URL");
  list->add_option("URL", url)->required();
  app.add_subcommand("remove", "Removes all beneath a URL")->add_option("URL", url)->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (with_parent) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_IGN);
  const StatusOr<StoreUrl> parsed = ParseStoreUrl(url);
  if (!parsed.ok()) return Say(parsed.status());
  Watch& watch = *new Watch(url, timeout);  // its thread ends with the process
  const auto store = ObjectStore::Open([&] { watch.Answered(); });
  if (!store.ok()) return Say(store.status());
  if (put->parsed()) return Say((*store)->Put(folder, url, record));
  if (get->parsed()) return Say((*store)->Get(url, folder));
  if (list->parsed()) {
    const StatusOr<std::vector<std::string>> names = (*store)->List(url);
    if (!names.ok()) return Say(names.status());
    for (const std::string& name : *names) std::printf("%s\n", name.c_str());
    return 0;
  }
  return Say((*store)->Remove(url));
}

}  // namespace
}  // namespace anamnesis::object_store

int main(int argc, char** argv) { return anamnesis::object_store::Main(argc, argv); }
