// SPDX-License-Identifier: Apache-2.0
// anamnesis-prep: raw data to shards, their checks, and narratives as text.
#include <malloc.h>

#include "workers/prep/verbs.h"

int main(int argc, char** argv) {
  // glibc raises this threshold after the first large buffer and then keeps freed ones in
  // fragmented heaps; fixed, a file's buffers go back to the system with the file, and memory stays
  // flat in the number of files.
  ::mallopt(M_MMAP_THRESHOLD, 128 << 10);
  return anamnesis::prep::RunVerb(argc, argv);
}
