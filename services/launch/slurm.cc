// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <utility>

#include "common/base/clock.h"
#include "common/base/sha256.h"

namespace anamnesis::launch {
namespace {

constexpr char kHandleStart[] = "slurm:";
constexpr char kFileStart[] = "slurm-";
// While an attempt waits in Slurm the core hears of it at least this often.
constexpr absl::Duration kWaitsAgain = absl::Seconds(10);
// After a refusal nothing is launched for an interval, doubled with each further one up to this.
constexpr absl::Duration kLongestHold = absl::Seconds(60);
// Slurm must say twice that it does not know a job.
constexpr int64_t kMisses = 2;

absl::Duration SlurmNow() { return Clock::System().Monotonic(); }

std::string JobFolder(const std::string& data_directory, core::JobId job) {
  return Cat(data_directory, "/jobs/", static_cast<int64_t>(job));
}

// A file that nobody else may read, from its first byte on.
Status WritePrivately(const std::string& path, std::string_view content) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) return InvalidArgument(path, ": cannot be written: ", ErrnoText(errno));
  while (!content.empty()) {
    const ssize_t written = ::write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ResourceExhausted(path, ": cannot be written: ", ErrnoText(errno));
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (::fsync(file.get()) != 0) return ResourceExhausted(path, ": ", ErrnoText(errno));
  return absl::OkStatus();
}

// What names this coordinator in Slurm for as long as its data directory is there. Not the
// directory's path: that may be the same for coordinators of several machines.
StatusOr<std::string> IdentityIn(const std::string& data_directory) {
  const std::string path = data_directory + "/slurm-identity";
  if (PathExists(path)) {
    ANAM_ASSIGN_OR_RETURN(std::string identity, ReadFile(path));
    while (!identity.empty() && identity.back() == '\n') identity.pop_back();
    if (ParseSlurmTag(TextOf({identity, core::JobId{1}, 1}))) return identity;
    return DataLoss(path, ": expected 16 hexadecimal digits");
  }
  std::random_device random;
  std::string identity;
  for (int i = 0; i < 16; ++i) identity += "0123456789abcdef"[random() % 16];
  ANAM_RETURN_IF_ERROR(MakeDirectories(data_directory));
  ANAM_RETURN_IF_ERROR(WriteFileDurably(path, identity + "\n"));
  return identity;
}

// 0 for a handle that is none of ours.
int64_t SlurmIdOf(const std::string& handle) {
  if (!handle.starts_with(kHandleStart)) return 0;
  return ParseSbatch(handle.substr(sizeof kHandleStart - 1)).value_or(0);
}

}  // namespace

StatusOr<std::unique_ptr<SlurmLauncher>> SlurmLauncher::Create(SlurmOptions options,
                                                               SlurmSite site) {
  ANAM_ASSIGN_OR_RETURN(site.identity, IdentityIn(site.data_directory));
  ANAM_ASSIGN_OR_RETURN(std::unique_ptr<Outbox> outbox, Outbox::Create());
  FileDescriptor bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  FileDescriptor cancel(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell.valid() || !cancel.valid()) return ResourceExhausted("eventfd: ", ErrnoText(errno));
  ANAM_ASSIGN_OR_RETURN(SlurmCalls calls, SlurmCalls::Create(options.patience, cancel.get()));
  return std::unique_ptr<SlurmLauncher>(new SlurmLauncher(std::move(options), std::move(site),
                                                          std::move(outbox), std::move(calls),
                                                          std::move(bell), std::move(cancel)));
}

SlurmLauncher::SlurmLauncher(SlurmOptions options, SlurmSite site, std::unique_ptr<Outbox> outbox,
                             SlurmCalls calls, FileDescriptor bell, FileDescriptor cancel)
    : options_(std::move(options)),
      site_(std::move(site)),
      outbox_(std::move(outbox)),
      calls_(std::move(calls)),
      bell_(std::move(bell)),
      cancel_(std::move(cancel)),
      thread_([this] { Run(); }) {
  ::pthread_setname_np(thread_.native_handle(), "slurm");
}

SlurmLauncher::~SlurmLauncher() {
  ending_ = true;
  const uint64_t one = 1;
  for (const FileDescriptor* event : {&cancel_, &bell_}) {
    [[maybe_unused]] const ssize_t written = ::write(event->get(), &one, sizeof one);
  }
  thread_.join();
}

// --- on the loop's thread

void SlurmLauncher::Give(Order order) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto* request = std::get_if<LaunchRequest>(&order)) known_.insert(request->job);
  if (const auto* known = std::get_if<std::vector<Known>>(&order)) {
    for (const Known& attempt : *known) known_.insert(attempt.job);
  }
  orders_.push_back(std::move(order));
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(bell_.get(), &one, sizeof one);
}

void SlurmLauncher::Launch(const LaunchRequest& request) { Give(request); }
void SlurmLauncher::Reconcile(const std::vector<Known>& known) { Give(known); }

bool SlurmLauncher::Stop(core::JobId job, bool at_once) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!known_.contains(job)) return false;
  }
  Give(StopOrder{.job = job, .at_once = at_once});
  return true;
}

void SlurmLauncher::StopAll() {
  std::set<core::JobId> jobs;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    jobs = known_;
  }
  for (const core::JobId job : jobs) Give(StopOrder{.job = job, .at_once = true});
}

void SlurmLauncher::AddDescriptors(std::vector<pollfd>* fds) const {
  fds->push_back({outbox_->fd(), POLLIN, 0});
}

bool SlurmLauncher::busy() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !known_.empty();
}

std::string SlurmLauncher::LogPath(core::JobId job) const {
  return JobFolder(site_.data_directory, job) + "/worker.log";
}

// --- on the engine's thread

void SlurmLauncher::Run() {
  absl::Duration next_look = SlurmNow();
  while (!ending_) {
    const bool idle = tracked_.empty() && reachable_ && !(reconciled_ && look_for_orphans_);
    const int64_t wait_ms =
        idle ? -1 : std::max<int64_t>(0, absl::ToInt64Milliseconds(next_look - SlurmNow()) + 1);
    pollfd bell = {bell_.get(), POLLIN, 0};
    ::poll(&bell, 1, static_cast<int>(wait_ms));
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t read = ::read(bell_.get(), &count, sizeof count);
    std::vector<Order> orders;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      orders.swap(orders_);
    }
    for (const Order& order : orders) {
      if (ending_) return;
      std::visit([this](const auto& what) { Carry(what); }, order);
    }
    TellStops();
    if (reconciled_ && SlurmNow() >= next_look) {
      Look();
      next_look = SlurmNow() + options_.poll_interval;
    }
  }
}

StatusOr<SlurmBatch> SlurmLauncher::WriteFiles(const LaunchRequest& request,
                                               std::string* script) const {
  const std::string folder = JobFolder(site_.data_directory, request.job);
  ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
  // A name of its own for each token: a batch job that was taken although sbatch failed must not
  // find the next one's.
  const std::string path =
      Cat(folder, "/", kFileStart, request.epoch, "-", Sha256Hex(request.token).substr(0, 16));
  const SlurmBatch batch{.job = request.job,
                         .epoch = request.epoch,
                         .nodes = request.nodes,
                         .ranks_per_node = request.ranks_per_node,
                         .threads_per_rank = request.threads_per_rank,
                         .worker_address = request.worker_address,
                         .token_path = path + ".token",
                         .log_path = folder + "/worker.log"};
  *script = path + ".sh";
  ANAM_RETURN_IF_ERROR(WritePrivately(batch.token_path, request.token + "\n"));
  ANAM_RETURN_IF_ERROR(WritePrivately(*script, BatchScript(batch, site_)));
  return batch;
}

void SlurmLauncher::Carry(const LaunchRequest& request) {
  std::string script;
  const StatusOr<SlurmBatch> batch = WriteFiles(request, &script);
  if (!batch.ok()) {
    return Refuse(request, core::Reason::kLaunchFailed, MessageOf(batch.status()));
  }
  const SlurmCalls::Submitted submitted =
      calls_.Submit(SbatchArguments(*batch, options_, site_), script);
  if (submitted.id == 0) {
    look_for_orphans_ = true;  // it may have been taken all the same
    const std::string message = "slurm: " + submitted.refusal.message;
    switch (submitted.refusal.kind) {
      case SlurmRefusal::Kind::kInvalid:
        return Refuse(request, core::Reason::kInvalidInput, message);
      case SlurmRefusal::Kind::kLater:
        reachable_ = false;
        hold_ = std::clamp(hold_ * 2, options_.poll_interval, kLongestHold);
        held_until_ = SlurmNow() + hold_;
        return Refuse(request, core::Reason::kEngineUnreachable, message);
      case SlurmRefusal::Kind::kOther:
        return Refuse(request, core::Reason::kLaunchFailed, message);
    }
  }
  hold_ = absl::ZeroDuration();
  tracked_.insert_or_assign(request.job, Tracked{.epoch = request.epoch, .id = submitted.id});
  Submitted(request.job, tracked_.at(request.job));
}

void SlurmLauncher::Submitted(core::JobId job, const Tracked& tracked) {
  core::Launched launched{.job = job, .epoch = tracked.epoch, .worker = {}};
  launched.worker.handle = Cat(kHandleStart, tracked.id);
  outbox_->Put(launched);
}

void SlurmLauncher::Refuse(const LaunchRequest& request, core::Reason reason,
                           const std::string& message) {
  Forget(request.job);
  outbox_->Put(core::LaunchFailed{
      .job = request.job, .epoch = request.epoch, .message = message, .reason = reason});
}

void SlurmLauncher::Carry(const std::vector<Known>& known) {
  for (const auto& [job, epoch, worker] : known) {
    const int64_t id = SlurmIdOf(worker.handle);
    if (id == 0 && (!worker.handle.empty() || !worker.boot_id.empty())) {
      Forget(job);
      outbox_->Put(
          core::WorkerGone{.job = job,
                           .epoch = epoch,
                           .message = "its workers were started by another launcher than slurm"});
      continue;
    }
    tracked_.insert_or_assign(
        job, Tracked{.epoch = epoch, .id = id, .history = {.ran = worker.pid != 0}});
  }
  reconciled_ = true;
}

void SlurmLauncher::Carry(const StopOrder& order) {
  const auto found = tracked_.find(order.job);
  if (found == tracked_.end()) return;  // gone; the loop hears of it
  // One that runs is asked by a signal, which cancels nothing in Slurm: who cancels it then is
  // somebody else.
  SlurmHistory& history = found->second.history;
  history.stopped = history.stopped || order.at_once || !history.ran;
  (order.at_once ? found->second.end : found->second.ask) = true;
}

// What waits in Slurm's queue is taken out of it. What runs hears a SIGTERM and saves, or is ended.
void SlurmLauncher::TellStops() {
  std::vector<int64_t> waiting, ask, end;
  for (const auto& [job, tracked] : tracked_) {
    if (tracked.id != 0 && tracked.end) {
      end.push_back(tracked.id);
    } else if (tracked.id != 0 && tracked.ask) {
      ask.push_back(tracked.id);
      // One that has run and waits again was put back: the look that sees it ends it.
      if (!tracked.history.ran) waiting.push_back(tracked.id);
    }
  }
  if (ask.empty() && end.empty()) return;
  Status status = calls_.Cancel(waiting, {"--state=PENDING"});
  if (status.ok()) status = calls_.Cancel(ask, {"--state=RUNNING", "--signal=TERM"});
  // Slurm alone would give them its KillWait.
  if (status.ok()) status = calls_.Cancel(end, {"--state=RUNNING", "--signal=KILL"});
  if (status.ok()) status = calls_.Cancel(end, {});
  if (!status.ok()) return CannotLook(status);  // said again at the next look
  for (auto& [job, tracked] : tracked_) {
    if (tracked.id != 0) tracked.ask = tracked.end = false;
  }
}

void SlurmLauncher::CannotLook(const Status& status) {
  if (ending_) return;
  const std::string message = Cat("slurm: ", MessageOf(status));
  reachable_ = false;
  outbox_->Put(core::EngineSeen{.reachable = false, .message = message});
  // Nothing is concluded from silence: what waited goes on waiting.
  for (auto& [job, tracked] : tracked_) {
    if (tracked.waits) TellWaits(job, &tracked, message);
  }
}

void SlurmLauncher::Answers() {
  if (reachable_ || SlurmNow() < held_until_) return;
  reachable_ = true;
  outbox_->Put(core::EngineSeen{.reachable = true, .message = ""});
}

void SlurmLauncher::Look() {
  const StatusOr<std::vector<SlurmJob>> jobs = calls_.List(site_.identity);
  if (!jobs.ok()) return CannotLook(jobs.status());
  Answers();
  Resolve(*jobs);
  EndOrphans(*jobs);
  std::map<int64_t, const SlurmJob*> by_id;
  for (const SlurmJob& job : *jobs) by_id[job.id] = &job;
  std::vector<core::JobId> missing, over;
  for (auto& [job, tracked] : tracked_) {
    const auto found = by_id.find(tracked.id);
    if (found == by_id.end()) {
      missing.push_back(job);
      continue;
    }
    tracked.missed = 0;
    const SlurmJob& seen = *found->second;
    if (Judge(job, &tracked,
              MeaningOf(seen.id, seen.state, seen.state_name, seen.reason, tracked.history))) {
      over.push_back(job);
    }
  }
  for (const core::JobId job : over) tracked_.erase(job);
  if (!missing.empty()) Miss(missing);
}

// Attempts whose submission was not recorded: the coordinator ended in between.
void SlurmLauncher::Resolve(const std::vector<SlurmJob>& jobs) {
  for (auto& [job, tracked] : tracked_) {
    if (tracked.id != 0) continue;
    for (const SlurmJob& seen : jobs) {
      const bool is_it = seen.tag.job == job && seen.tag.epoch == tracked.epoch;
      if (is_it) tracked.id = std::max(tracked.id, seen.id);
    }
    if (tracked.id == 0) continue;
    Submitted(job, tracked);
  }
}

// Jobs in our name that nobody waits for: sbatch was not believed, or the data directory is an
// older copy.
void SlurmLauncher::EndOrphans(const std::vector<SlurmJob>& jobs) {
  std::set<int64_t> ours;
  for (const auto& [job, tracked] : tracked_) ours.insert(tracked.id);
  std::vector<int64_t> orphans;
  for (const SlurmJob& seen : jobs) {
    if (!IsOver(seen.state) && !ours.contains(seen.id)) orphans.push_back(seen.id);
  }
  look_for_orphans_ = !orphans.empty() && !calls_.Cancel(orphans, {}).ok();
}

void SlurmLauncher::Miss(const std::vector<core::JobId>& missing) {
  std::vector<int64_t> ids;
  for (const core::JobId job : missing) {
    if (const int64_t id = tracked_[job].id; id != 0) ids.push_back(id);
  }
  const std::map<int64_t, SlurmAccount> accounts = calls_.Account(ids);
  for (const core::JobId job : missing) {
    Tracked& tracked = tracked_[job];
    const auto account = accounts.find(tracked.id);
    if (account != accounts.end() && IsOver(account->second.state)) {
      Judge(job, &tracked,
            MeaningOf(tracked.id, account->second.state, account->second.state_name, "",
                      tracked.history));
      tracked_.erase(job);
    } else if (++tracked.missed >= kMisses) {
      Judge(job, &tracked,
            {.kind = SlurmMeaning::Kind::kGone,
             .message = tracked.id == 0 ? "slurm was never given it: the coordinator ended before"
                                        : Cat("slurm job ", tracked.id, " is forgotten by Slurm")});
      tracked_.erase(job);
    }
  }
}

bool SlurmLauncher::Judge(core::JobId job, Tracked* tracked, const SlurmMeaning& meaning) {
  switch (meaning.kind) {
    case SlurmMeaning::Kind::kWaits:
      TellWaits(job, tracked, meaning.message);
      // It may have been told to end while it started.
      if (tracked->history.stopped) tracked->ask = true;
      return false;
    case SlurmMeaning::Kind::kRuns:
      tracked->waits = false;
      tracked->history.ran = true;
      return false;
    case SlurmMeaning::Kind::kRequeued:
      look_for_orphans_ = true;  // it is one from now on
      [[fallthrough]];
    case SlurmMeaning::Kind::kGone:
      Forget(job);
      outbox_->Put(core::WorkerGone{.job = job,
                                    .epoch = tracked->epoch,
                                    .reason = meaning.reason,
                                    .message = meaning.message});
      return true;
  }
  return false;
}

void SlurmLauncher::TellWaits(core::JobId job, Tracked* tracked, const std::string& why) {
  const absl::Duration now = SlurmNow();
  if (tracked->waits_for == why && now < tracked->told + kWaitsAgain) return;
  tracked->waits_for = why;
  tracked->told = now;
  outbox_->Put(core::EngineWaits{.job = job, .epoch = tracked->epoch, .message = why});
}

void SlurmLauncher::Forget(core::JobId job) {
  const std::string folder = JobFolder(site_.data_directory, job);
  for (const std::string& name : ListDirectory(folder).value_or(std::vector<std::string>())) {
    if (name.starts_with(kFileStart)) ::unlink(Cat(folder, "/", name).c_str());
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  known_.erase(job);
}

}  // namespace anamnesis::launch
