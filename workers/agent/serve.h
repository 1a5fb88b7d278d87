// SPDX-License-Identifier: Apache-2.0
// `anamnesis-worker attempt`: one job's attempts on this machine, granted by the coordinator.
#pragma once

namespace anamnesis::agent {

// argv[0] = "attempt". The token comes in ANAMNESIS_WORKER_TOKEN. Returns the exit code: 0 when the
// worker ended as it should, whatever became of the job.
int ServeCommand(int argc, char** argv);

}  // namespace anamnesis::agent
