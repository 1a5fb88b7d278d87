// SPDX-License-Identifier: Apache-2.0
// Writing and reading checkpoints (docs/formats/checkpoint.md). A checkpoint is staged under
// another name, every file is made durable and hashed, the parent is asked for the right to commit,
// then one rename makes it appear. Nothing before the rename can be mistaken for a checkpoint; a
// full disk (kResourceExhausted) leaves the previous ones as they were. Torch-free: whoever holds
// the weights writes their files into the staging folder. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/checkpoint/manifest.h"

namespace anamnesis::checkpoint {

inline constexpr char kCheckpointPrefix[] = "checkpoint-";  // and the step
inline constexpr char kFinalModelName[] = "final_model";
inline constexpr char kOptimizerName[] = "optimizer.safetensors";
inline constexpr char kTrainerStateName[] = "trainer_state.json";

struct SaveOptions {
  std::string output_directory;
  std::string name;             // "checkpoint-12" or "final_model"
  bool whole = false;           // final_model goes where FinalModelOf says for a whole model
  Manifest manifest;            // without files
  std::string model_directory;  // tokenizer files are copied from here
  // Writes the run's own files into the staging folder, durably.
  std::function<Status(const std::string& staging)> write_files;
};

// A checkpoint whose files are durable in a staging folder and that nobody sees yet.
struct Staged {
  std::string staging;
  std::string path;  // where it will be
  // Of a whole model: its files are put one by one into `path`, manifest.json last, here.
  std::string manifest_directory = "";
  std::string sha256;  // of manifest.json
};

// The staging folder carries the attempt's number, so that a late attempt never touches another's.
// An error leaves nothing behind.
StatusOr<Staged> Stage(const SaveOptions& options);
// Makes it visible, once the commit is granted. Replaces an older folder of that name.
Status Publish(const Staged& staged);
// Removes it, the commit being refused.
void Discard(const Staged& staged);

// Copies what stock tools need to use a model's tokenizer; a tokenizer.json that is not there is
// built (workers/text/tokenizer_json.h).
Status CopyTokenizer(const std::string& model_directory, const std::string& to);

// The manifest of a checkpoint all of whose files are as they were written. kNotFound, kDataLoss.
StatusOr<Manifest> OpenVerified(const std::string& directory);

// AdamW's moments of one trained tensor, flattened; borrowed.
struct OptimizerTensor {
  std::string name;
  std::span<float> exp_avg;
  std::span<float> exp_avg_sq;
};
// optimizer.safetensors: NAME.exp_avg and NAME.exp_avg_sq [size] F32 of every tensor, and step [1]
// I64: updates done (docs/formats/optimizer.md).
Status WriteOptimizer(const std::string& path, int64_t step,
                      const std::vector<OptimizerTensor>& tensors);
// Fills the tensors' buffers. kDataLoss when a tensor is missing, unknown or of another size.
Status ReadOptimizer(const std::string& path, int64_t* step,
                     const std::vector<OptimizerTensor>& tensors);

// Keeps the newest `limit` checkpoints, and `best` (a path, or "") besides; limit 0 keeps all.
Status RemoveOldCheckpoints(const std::string& output_directory, int64_t limit,
                            const std::string& best);

}  // namespace anamnesis::checkpoint
