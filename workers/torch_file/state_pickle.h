// SPDX-License-Identifier: Apache-2.0
// The pickle inside a file of torch.save, read without executing anything: one dict or OrderedDict
// from names to tensors. Of what a pickle may name, these alone are known: collections.OrderedDict,
// torch._utils._rebuild_tensor_v2 and _rebuild_parameter, and the classes torch.FloatStorage and so
// on; everything else is refused with its name and offset. Memory is a constant times the size of
// the pickle. Thread-safe. Format: torch/serialization.py and torch/_utils.py of PyTorch 2.15.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "workers/torch_file/torch_type.h"

namespace anamnesis::torch_file {

// A tensor as the pickle describes it: elements at storage[offset + Σ indexᵢ · strideᵢ].
struct PickledTensor {
  std::string name;
  TorchType type = TorchType::kF32;
  std::string storage_key;       // names the entry data/KEY
  uint64_t storage_numel = 0;    // elements of the storage
  uint64_t offset = 0;           // in elements
  std::vector<int64_t> shape;    // extents are not negative, their product fits into 63 bits
  std::vector<int64_t> strides;  // in elements, not negative; as many as extents
  uint64_t numel = 0;            // product of shape, at most storage_numel
  uint64_t span = 0;             // elements from the first to the last used, 0 when empty

  bool IsContiguous() const;
};

// In the order of the pickle. kInvalidArgument with offset and what was expected; every tensor lies
// inside its storage and has no more elements than it.
StatusOr<std::vector<PickledTensor>> ReadStatePickle(std::string_view bytes);

}  // namespace anamnesis::torch_file
