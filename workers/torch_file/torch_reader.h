// SPDX-License-Identifier: Apache-2.0
// A file of torch.save that holds one dict of tensors (pytorch_model.bin), opened without Torch and
// without executing anything: zip entries NAME/data.pkl (the names, shapes and strides) and
// NAME/data/KEY (the bytes of a storage). The format before PyTorch 1.6 (no zip file) and
// TorchScript archives are refused by name. Thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/torch_file/state_pickle.h"
#include "workers/torch_file/zip_reader.h"

namespace anamnesis::torch_file {

class TorchFile {
 public:
  // Everything is checked but the tensors' bytes: that every storage is there and as large as said,
  // and every tensor lies inside its storage. kInvalidArgument: cannot be opened, or holds what is
  // not read. kDataLoss: broken. kUnimplemented: the old format, TorchScript.
  static StatusOr<TorchFile> Open(const std::string& path);

  const std::string& path() const { return zip_.path(); }
  const std::vector<PickledTensor>& tensors() const { return tensors_; }  // in the dict's order
  const PickledTensor* Find(const std::string& name) const;               // null when absent
  // What tells two files apart without reading the tensors: the pickle, then the zip directory with
  // the CRC-32 of every storage.
  const std::string& header() const { return header_; }

  // Writes the tensor's numel elements to `out`, row-major whatever its strides. Reads no more of
  // the file than from its first to its last element. kDataLoss: a checksum does not fit.
  Status Read(const PickledTensor& tensor, void* out) const;

 private:
  explicit TorchFile(ZipFile zip) : zip_(std::move(zip)) {}
  Status ReadDescription();
  StatusOr<std::string> ArchiveName() const;
  Status CheckFormat(const std::string& archive) const;

  ZipFile zip_;
  std::string data_prefix_;  // NAME/data/
  std::string header_;
  std::vector<PickledTensor> tensors_;
  std::map<std::string, size_t> by_name_;
};

}  // namespace anamnesis::torch_file
