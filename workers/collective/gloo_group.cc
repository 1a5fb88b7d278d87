// SPDX-License-Identifier: Apache-2.0
// Gloo: compiled against Debian's headers, implemented by the wheel's libtorch_cpu.
#include <signal.h>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "workers/collective/channel_store.h"
#include "workers/collective/process_group.h"

namespace anamnesis::collective {

std::unique_ptr<Group> MakeGlooGroup(std::shared_ptr<KeyValue> channel,
                                     const GroupOptions& options) {
  // Gloo writes to its sockets without MSG_NOSIGNAL: a peer that dies while we write must be an
  // error that names it, not the end of this process by SIGPIPE.
  ::signal(SIGPIPE, SIG_IGN);
  auto gloo = c10d::ProcessGroupGloo::Options::create();
  gloo->timeout = options.timeout;
  auto store = c10::make_intrusive<ChannelStore>(std::move(channel), options.prefix);
  store->setTimeout(options.timeout);
  try {
    gloo->devices.push_back(
        options.interface.empty()
            ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
            : c10d::ProcessGroupGloo::createDeviceForInterface(options.interface));
  } catch (const std::exception&) {
    C10_THROW_ERROR(ValueError, "--interface " + options.interface +
                                    ": no network interface of this node that can be used");
  }
  try {
    return std::make_unique<ProcessGroup>(
        c10::make_intrusive<c10d::ProcessGroupGloo>(store, options.rank, options.num_ranks, gloo),
        options);
  } catch (const c10::DistError&) {
    throw;
  } catch (const std::exception& error) {
    C10_THROW_ERROR(DistBackendError, std::string("Gloo: the gang did not form: ") + error.what());
  }
}

}  // namespace anamnesis::collective
