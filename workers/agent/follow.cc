// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/follow.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <utility>

#include "anamnesis/v1/worker_service.pb.h"
#include "common/io/file.h"
#include "common/process/sibling.h"
#include "workers/agent/checked.h"
#include "workers/agent/checkpoint_store.h"
#include "workers/agent/grant_options.h"
#include "workers/agent/machine.h"
#include "workers/agent/rank_host.h"
#include "workers/agent/relay_inbox.h"
#include "workers/agent/seats.h"

namespace anamnesis::agent {
namespace {

constexpr int32_t kLead = 0;

// Whether a signal has come.
bool TakeSignals(const FileDescriptor& signals) {
  char buffer[128];
  bool came = false;
  while (::read(signals.get(), buffer, sizeof buffer) > 0) came = true;
  return came;
}

// Shards, indexes and the model where this node has folders of its own: what the leading worker has
// made is made here as well, under the same names.
Status Prepare(const v1::Grant& grant, const std::string& job_id) {
  if (!HasOwnFolders(grant)) return absl::OkStatus();
  ANAM_ASSIGN_OR_RETURN(const RunOptions options, OptionsOf(grant, job_id));
  return CheckAll(options, [](const std::string&, int64_t, int64_t) {}).status();
}

Status ServeRanks(RankHost& host, RelayInbox& inbox, const FileDescriptor& signals,
                  Session& session, const std::atomic<bool>& leave) {
  bool leaving = false;
  while (!leave && session.refused().ok()) {
    std::vector<pollfd> fds = {{inbox.fd(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    host.AddDescriptors(&fds);
    ::poll(fds.data(), fds.size(), 1000);  // a refusal rings no bell
    for (const v1::Relay& relay : inbox.Take()) host.Take(relay);
    host.Turn();
    // Said once: engines send it in more than one way, and kill by themselves what does not end.
    if (TakeSignals(signals) && !std::exchange(leaving, true)) {
      v1::Relay relay;
      relay.mutable_leaving();
      session.Relay(kLead, std::move(relay));
    }
  }
  return leave ? absl::OkStatus() : session.refused();
}

}  // namespace

Status Follow(SessionOptions options) {
  ANAM_ASSIGN_OR_RETURN(const FileDescriptor signals, CatchInterrupts());
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<RelayInbox> inbox, RelayInbox::Create());
  ANAM_ASSIGN_OR_RETURN(const std::string rank_program, SiblingProgram("anamnesis-rank"));
  const int32_t node = options.node;
  const std::string job_id = options.job_id;
  options.on_relay = [&](const v1::Relay& relay) { inbox->Put(relay); };
  std::atomic<bool> leave = false;
  Session session(std::move(options));
  session.SetOnStop([&](const v1::StopRequest& request) {  // others are the leading worker's
    if (!request.leave()) return;
    leave = true;
    inbox->Ring();
  });
  const auto serve = [&]() -> Status {
    const StatusOr<v1::Grant> grant = session.WaitGrant(0, kOrphanPatience);
    if (grant.status().code() == absl::StatusCode::kAborted) return absl::OkStatus();
    ANAM_RETURN_IF_ERROR(grant.status());
    const std::string folder = Cat(grant->data_directory(), "/jobs/", job_id, "/node-", node);
    ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
    std::fprintf(stderr, "node %d of %d\n", node, grant->nodes());
    RankHost host({.rank_program = rank_program,
                   .folder = folder,
                   .refusal = AddContext(Prepare(*grant, job_id), Cat("node ", node)),
                   .seats = SeatsOf(*grant, ShareOfThisProcess()),
                   .send = [&](v1::Relay relay) { session.Relay(kLead, std::move(relay)); }});
    v1::Relay ready;
    ready.mutable_ready();
    session.Relay(kLead, std::move(ready));
    return ServeRanks(host, *inbox, signals, session, leave);
  };
  const Status status = serve();
  session.SetOnStop(nullptr);
  return status;
}

}  // namespace anamnesis::agent
