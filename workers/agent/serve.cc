// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/serve.h"

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "anamnesis/v1/worker_service.pb.h"
#include "common/io/file.h"
#include "common/process/control_group.h"
#include "common/process/identity.h"
#include "common/process/sibling.h"
#include "workers/agent/data_facts.h"
#include "workers/agent/folder_transfer.h"
#include "workers/agent/follow.h"
#include "workers/agent/grant_options.h"
#include "workers/agent/machine.h"
#include "workers/agent/object_transfer.h"
#include "workers/agent/relay_inbox.h"
#include "workers/agent/reporting.h"
#include "workers/agent/reports.h"
#include "workers/agent/session.h"
#include "workers/agent/stop_thread.h"
#include "workers/agent/train.h"
#include "workers/agent/upload_commits.h"
#include "workers/checkpoint/manifest.h"
#include "workers/track/wandb_run.h"

namespace anamnesis::agent {
namespace {

// Between two reports of how far the preparation is.
constexpr absl::Duration kPhasePause = absl::Seconds(1);

void ReportDone(const Attempt& attempt, bool whole_model, int64_t epoch,
                const gang::Outcome& outcome, Session& session) {
  v1::Report report = NewReport(epoch);
  v1::DoneReport& done = *report.mutable_done();
  done.set_path(checkpoint::FinalModelOf(attempt.output.directory, whole_model).directory);
  if (const auto wandb =
          track::FindWandbRun(attempt.output.directory + "/wandb", attempt.record.run_id)) {
    done.set_wandb_folder(*wandb);
  }
  if (!outcome.done.empty()) {
    done.set_step(outcome.done[0].step);
    done.set_final_sha256(outcome.done[0].final_sha256);
    done.set_tokens(outcome.done[0].tokens_trained);
    done.set_train_loss(outcome.done[0].train_loss);
    const auto& evaluation = outcome.done[0].evaluation;
    done.mutable_evaluation()->insert(evaluation.begin(), evaluation.end());
  } else {  // an earlier attempt finished it, and its word was lost
    const StatusOr<std::string> sha256 = FileSha256(
        Cat(done.path(), whole_model ? "/model.safetensors" : "/adapter_model.safetensors"));
    if (sha256.ok()) done.set_final_sha256(*sha256);
  }
  session.Report(std::move(report));
}

// nullptr: the checkpoints stay in the output folder.
StatusOr<std::unique_ptr<CheckpointStore>> OpenCheckpointStore(const v1::Grant& grant,
                                                               const SessionOptions& session) {
  if (grant.upload_checkpoints()) return std::make_unique<FolderTransfer>(session);
  if (grant.checkpoint_store().empty()) return nullptr;
  ANAM_ASSIGN_OR_RETURN(const std::string program, SiblingProgram("anamnesis-store"));
  const std::string folder = Cat(grant.data_directory(), "/jobs/", session.job_id);
  ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
  return std::make_unique<ObjectTransfer>(ObjectTransfer::Options{
      .program = program, .store = grant.checkpoint_store(), .log_path = folder + "/store.log"});
}

// What one worker keeps from epoch to epoch.
struct Kept {
  std::unique_ptr<CheckpointStore> store;  // nullptr: the output folder alone
  std::optional<Checked> checked;
  FileDescriptor folder_lock;           // of the output folder
  std::unique_ptr<RemoteRanks> remote;  // of a gang of several nodes; outlives the survivors
  std::vector<std::optional<gang::RankLink>> survivors;
};

// Survivors can go on from a checkpoint alone; others are started anew.
std::vector<int> RanksToKeep(const Attempt& attempt, Kept* kept) {
  std::vector<int> ranks;
  if (attempt.checkpoint.empty()) kept->survivors.clear();
  for (size_t rank = 0; rank < kept->survivors.size(); ++rank) {
    if (kept->survivors[rank]) ranks.push_back(static_cast<int>(rank));
  }
  return ranks;
}

// A rank that the kernel ended at the memory limit of this worker's control group would be ended
// again.
void BlameMemory(int64_t oom_kills_before, gang::Outcome* outcome) {
  if (outcome->culprit < 0 || outcome->status.code() != absl::StatusCode::kUnavailable) return;
  if (OomKills() == oom_kills_before) return;
  outcome->status = ResourceExhausted(
      MessageOf(outcome->status), "; the kernel ended it at the memory limit of its control group");
}

// One epoch, from the check of its input to the end of its gang; all of it is reported. An error is
// what went wrong before there was a gang.
Status RunEpoch(const v1::Grant& grant, const SessionOptions& session_options, Session& session,
                gang::Mailbox& mailbox, RelayInbox& inbox, StopThread& stop, Kept* kept) {
  stop.BeginPreparing();
  const int64_t epoch = grant.epoch();
  ANAM_ASSIGN_OR_RETURN(RunOptions options, OptionsOf(grant, session_options.job_id));
  options.service->holds_folder = kept->folder_lock.valid();
  if (!kept->checked) {
    PhaseMeter meter(Clock::System(), kPhasePause, [&](const PhaseView& view) {
      session.Report(PhaseReport(epoch, v1::ATTEMPT_STATE_PREPARING, view));
    });
    ANAM_ASSIGN_OR_RETURN(kept->checked, CheckAll(options, meter.AsOnPhase()));
  }
  const Checked& checked = *kept->checked;
  const std::string& output_directory = checked.config.training.output_dir;
  const bool whole_model = TrainsWholeModel(checked.config);
  std::optional<UploadCommits> uploads;
  if (kept->store == nullptr) {
    ANAM_ASSIGN_OR_RETURN(kept->store, OpenCheckpointStore(grant, session_options));
  }
  if (kept->store != nullptr) {
    session.Report(PhaseReport(epoch, v1::ATTEMPT_STATE_PREPARING, {.phase = "checkpoint store"}));
    ANAM_RETURN_IF_ERROR(kept->store->Get(grant, output_directory));
    uploads.emplace(output_directory, whole_model, *kept->store, session);
  }
  ANAM_ASSIGN_OR_RETURN(Attempt attempt, OpenAttempt(options, checked));
  if (attempt.output.lock.valid()) kept->folder_lock = std::move(attempt.output.lock);
  if (attempt.complete) {
    ReportDone(attempt, whole_model, epoch, {}, session);
    return absl::OkStatus();
  }
  ANAM_ASSIGN_OR_RETURN(const v1::DataFacts data_facts, MakeDataFacts(checked.data));
  ANAM_ASSIGN_OR_RETURN(StepCounter counter,
                        StepCounter::Create(attempt.output.marker, attempt.record.attempt));
  session.Report(PhaseReport(epoch, v1::ATTEMPT_STATE_RENDEZVOUS, {.phase = "loading"}));
  Reporting reporting({.epoch = epoch,
                       .total_steps = checked.data.total_steps,
                       .resumed_step = attempt.resumed_step,
                       .steps_executed_before = attempt.executed_before,
                       .logging_steps = checked.config.training.logging_steps,
                       .num_ranks = checked.sizing.ranks,
                       .notes = checked.model.notes,
                       .kept_ranks = RanksToKeep(attempt, kept),
                       .data = data_facts,
                       .uploads = uploads ? &*uploads : nullptr},
                      &counter, session, mailbox);
  if (grant.nodes() > 1 && kept->remote == nullptr) {
    kept->remote = std::make_unique<RemoteRanks>(
        RemoteRanksOptions{
            .ranks_per_node = grant.ranks_per_node(),
            .send = [&](int32_t node, v1::Relay relay) { session.Relay(node, std::move(relay)); },
            .on_node_leaves = [&] { mailbox.NodeLeaves(); },
            .threads = checked.sizing.threads},
        inbox);
  }
  gang::Outcome outcome;
  const int64_t oom_kills = OomKills();
  stop.BeginTraining();
  const Status trained = Train(options, checked, attempt,
                               {.mailbox = &mailbox,
                                .keep_survivors = true,
                                .survivors = std::exchange(kept->survivors, {}),
                                .remote = kept->remote.get()},
                               counter, reporting, &outcome);
  kept->survivors = std::move(outcome.survivors);
  BlameMemory(oom_kills, &outcome);
  if (uploads && !uploads->failure().ok() && !outcome.status.ok()) return uploads->failure();
  if (outcome.status.ok() && trained.ok()) {
    ReportDone(attempt, whole_model, epoch, outcome, session);
  } else if (!outcome.status.ok()) {
    session.Report(EndReport(epoch, outcome));
  } else {
    return trained;
  }
  return absl::OkStatus();
}

// The worker's epochs, one after the other, until the coordinator has no use for it.
Status ServeEpochs(const SessionOptions& options, std::atomic<int64_t>& epoch, Session& session,
                   gang::Mailbox& mailbox, RelayInbox& inbox, StopThread& stop) {
  Kept kept;
  for (;;) {
    const StatusOr<v1::Grant> grant = session.WaitGrant(epoch, kOrphanPatience);
    if (grant.status().code() == absl::StatusCode::kAborted) return absl::OkStatus();
    ANAM_RETURN_IF_ERROR(grant.status());
    epoch = grant->epoch();
    std::fprintf(stderr, "epoch %lld\n", static_cast<long long>(epoch));
    const Status status = RunEpoch(*grant, options, session, mailbox, inbox, stop, &kept);
    if (!status.ok()) {
      std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
      session.Report(FailureReport(epoch, status));
    }
    stop.EndEpoch();
    ANAM_RETURN_IF_ERROR(session.Drain(kOrphanPatience));
    if (stop.requested()) return absl::OkStatus();
  }
}

Status Lead(SessionOptions options) {
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<RelayInbox> inbox, RelayInbox::Create());
  options.on_relay = [&](const v1::Relay& relay) { inbox->Put(relay); };
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<gang::Mailbox> mailbox, gang::Mailbox::Create());
  std::atomic<int64_t> epoch = 0;
  std::unique_ptr<Session> session;
  std::atomic<Session*> line = nullptr;  // the session once it is there: a signal may come before
  const auto leave = [&](bool preparing) {
    if (Session* open = line; open != nullptr) {
      if (preparing) {
        v1::Report report = NewReport(epoch);
        report.mutable_stopped();
        open->Report(std::move(report));
      }
      open->Drain(absl::Seconds(5)).IgnoreError();
    }
    std::fprintf(stderr, "stopped%s\n", preparing ? " while preparing" : "");
    KillRestOfGroup();  // what prepares the data
    ::_exit(0);         // all was reported: no end by a signal, which an engine takes for a failure
  };
  // Signals are blocked before the session starts its threads.
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<StopThread> stop, StopThread::Start(*mailbox, leave));
  session = std::make_unique<Session>(options);
  line = session.get();
  session->SetOnStop(
      [&](const v1::StopRequest& request) { stop->Request(request.grace_ms() == 0); });
  const Status status = ServeEpochs(options, epoch, *session, *mailbox, *inbox, *stop);
  session->SetOnStop(nullptr);  // `stop` ends before the session does
  return status;
}

// From the environment, or from a file that it names: an engine shows a job's environment.
StatusOr<std::string> ReadToken() {
  if (const char* token = std::getenv("ANAMNESIS_WORKER_TOKEN")) return std::string(token);
  const char* path = std::getenv("ANAMNESIS_WORKER_TOKEN_FILE");
  if (path == nullptr) {
    return InvalidArgument(
        "neither ANAMNESIS_WORKER_TOKEN nor ANAMNESIS_WORKER_TOKEN_FILE is set: the coordinator "
        "starts this program");
  }
  ANAM_ASSIGN_OR_RETURN(std::string token, ReadFile(path));
  while (!token.empty() && token.back() == '\n') token.pop_back();
  if (token.empty()) return InvalidArgument(path, ": empty, expected the worker's token");
  return token;
}

}  // namespace

int ServeCommand(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  SessionOptions options;
  CLI::App app("Carries out the attempts of one job. Started by the coordinator.", "attempt");
  std::string coordinator;
  app.add_option("--coordinator", coordinator, "unix:PATH or HOST:PORT")->required();
  app.add_option("--job", options.job_id, "Number of the job")->required();
  app.add_option("--epoch", options.epoch, "First epoch")->required();
  app.add_option("--node", options.node, "Of the gang's nodes; 0 leads")
      ->check(CLI::NonNegativeNumber);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const StatusOr<std::string> token = ReadToken();
  if (!token.ok()) {
    std::fprintf(stderr, "error: %s\n", MessageOf(token.status()).c_str());
    return 2;
  }
  options.token = *token;
  const StatusOr<rpc::Address> address = rpc::ParseAddress(coordinator);
  if (address.ok()) options.coordinator = *address;
  const Status status = !address.ok()       ? address.status()
                        : options.node == 0 ? Lead(options)
                                            : Follow(options);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
  return ExitCodeOf(status);
}

}  // namespace anamnesis::agent
