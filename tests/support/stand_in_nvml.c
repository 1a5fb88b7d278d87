// SPDX-License-Identifier: Apache-2.0
// Stands in for the driver's libnvidia-ml.so.1 on machines without a GPU. What it tells is in the
// file that $STAND_IN_NVML names, read anew at each question; a line is a GPU:
//   UUID NAME TOTAL_MIB FREE_MIB [PID:MIB ...]      (pid 0: the GPU is lost)
// Without the file the driver is not loaded.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  kSuccess = 0,
  kInvalidArgument = 2,
  kInsufficientSize = 7,
  kDriverNotLoaded = 9,
  kGpuIsLost = 15
};
enum { kMaxGpus = 8, kMaxLine = 4096 };

typedef struct {
  unsigned long long total, free, used;
} Memory;
typedef struct {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
} Process;

static char lines[kMaxGpus][kMaxLine];

static int Read(void) {
  const char* path = getenv("STAND_IN_NVML");
  FILE* file = path == NULL ? NULL : fopen(path, "r");
  if (file == NULL) return -1;
  int count = 0;
  while (count < kMaxGpus && fgets(lines[count], kMaxLine, file) != NULL) {
    if (lines[count][0] != '\n') ++count;
  }
  fclose(file);
  return count;
}

// Handles are 1, 2, ... as pointers.
static const char* LineOf(void* device) {
  const size_t index = (size_t)device - 1;
  const int count = Read();
  return count > 0 && index < (size_t)count ? lines[index] : NULL;
}

static int Word(const char* line, const char* format, char* text, unsigned size) {
  char found[kMaxLine];
  if (line == NULL || sscanf(line, format, found) != 1) return kGpuIsLost;
  if (strlen(found) >= size) return kInsufficientSize;
  strcpy(text, found);
  return kSuccess;
}

int nvmlInit_v2(void) { return Read() < 0 ? kDriverNotLoaded : kSuccess; }
int nvmlShutdown(void) { return kSuccess; }
const char* nvmlErrorString(int code) {
  return code == kGpuIsLost         ? "GPU is lost"
         : code == kDriverNotLoaded ? "Driver Not Loaded"
                                    : "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  const int found = Read();
  *count = found < 0 ? 0 : (unsigned)found;
  return kSuccess;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = (void*)((size_t)index + 1);
  return LineOf(*device) == NULL ? kInvalidArgument : kSuccess;
}

int nvmlDeviceGetUUID(void* device, char* text, unsigned size) {
  return Word(LineOf(device), "%4095s", text, size);
}
int nvmlDeviceGetName(void* device, char* text, unsigned size) {
  return Word(LineOf(device), "%*s %4095s", text, size);
}

int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  const char* line = LineOf(device);
  unsigned long long total = 0, free = 0;
  if (line == NULL || sscanf(line, "%*s %*s %llu %llu", &total, &free) != 2) return kGpuIsLost;
  memory->total = total << 20;
  memory->free = free << 20;
  memory->used = memory->total - memory->free;
  return kSuccess;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, Process* processes) {
  const char* line = LineOf(device);
  if (line == NULL) return kGpuIsLost;
  char copy[kMaxLine];
  strcpy(copy, line);
  unsigned found = 0;
  int word = 0;
  for (char* text = strtok(copy, " \n"); text != NULL; text = strtok(NULL, " \n")) {
    unsigned pid = 0;
    unsigned long long mebibytes = 0;
    if (word++ < 4 || sscanf(text, "%u:%llu", &pid, &mebibytes) != 2) continue;
    if (pid == 0) return kGpuIsLost;
    if (found < *count) processes[found] = (Process){pid, mebibytes << 20, ~0u, ~0u};
    ++found;
  }
  const int code = found > *count ? kInsufficientSize : kSuccess;
  *count = found;
  return code;
}
