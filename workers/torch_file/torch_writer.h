// SPDX-License-Identifier: Apache-2.0
// Writes what torch.save(state_dict, path) writes: a file that torch.load opens with weights_only,
// with equal tensors. Tensors given with the same data share a storage, so tied weights are stored
// once and stay tied. The file appears whole or not at all; equal tensors give equal bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/torch_file/torch_type.h"
#include "workers/torch_file/zip_format.h"

namespace anamnesis::torch_file {

// A tensor to write; `data` is borrowed and holds the elements in row-major order.
struct TorchView {
  std::string name;
  TorchType type = TorchType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

// kInvalidArgument for a duplicate name or a shape whose product overflows. `zip64_from` as of
// ZipWriter.
Status WriteTorchFile(const std::string& path, const std::vector<TorchView>& tensors,
                      uint64_t zip64_from = zip::kNone32);

// The folder of all entries in a file of torch.save: the file's name without its ending.
std::string ArchiveNameOf(const std::string& path);

}  // namespace anamnesis::torch_file
