// SPDX-License-Identifier: Apache-2.0
// LD_PRELOAD: every fsync and fdatasync takes 5 ms, as on a disk without a write cache.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static int slow(const char* name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  const struct timespec wait = {0, 5000000};
  nanosleep(&wait, 0);
  return real(fd);
}

int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
