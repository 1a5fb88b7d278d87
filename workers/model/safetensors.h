// SPDX-License-Identifier: Apache-2.0
// The safetensors format, read and written without Torch (github.com/huggingface/safetensors,
// safetensors/src/tensor.rs): u64 little-endian header length, a JSON header padded with spaces,
// then the tensors' bytes with no hole and no overlap. Files of the writer are byte-identical to
// the Python library's for the same tensors.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/io/file.h"

namespace anamnesis::model {

// The stored element types that we read and write, in the order of the format's dtype enum.
enum class StoredType {
  kBool,
  kU8,
  kI8,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kF64,
  kI64,
  kU64
};

std::string_view StoredTypeName(StoredType type);  // "F32"
int64_t StoredTypeBytes(StoredType type);
StatusOr<StoredType> StoredTypeFromName(std::string_view name);

struct StoredTensor {
  std::string name;
  StoredType type = StoredType::kF32;
  std::vector<int64_t> shape;
  uint64_t offset = 0;      // from the start of the data section
  uint64_t size_bytes = 0;  // product of shape × element size

  int64_t NumElements() const;
};

// An open file of named tensors: safetensors, or one of torch.save. Thread-safe.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual const std::string& path() const = 0;
  virtual const std::vector<StoredTensor>& tensors() const = 0;
  virtual const StoredTensor* Find(const std::string& name) const = 0;  // null when absent
  // Names, types and shapes as stored: tells two files apart without reading the tensors.
  virtual const std::string& header() const = 0;
  // Writes the tensor's elements (tensor.size_bytes), row-major, to `out`.
  virtual Status Read(const StoredTensor& tensor, void* out) const = 0;
};

// One open file. The header is checked whole when opened: length limit, UTF-8, no duplicate key,
// known dtypes, sizes by checked multiplication, contiguous offsets, end of file. Thread-safe.
class SafetensorsFile final : public TensorFile {
 public:
  // kInvalidArgument: cannot be opened. kDataLoss: not a valid file; the text says where.
  static StatusOr<SafetensorsFile> Open(const std::string& path);

  const std::string& path() const override { return path_; }
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }  // by offset
  const StoredTensor* Find(const std::string& name) const override;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& header() const override { return header_; }  // the JSON text as stored

  // By positioned reads.
  Status Read(const StoredTensor& tensor, void* out) const override;

 private:
  std::string path_;
  FileDescriptor fd_;
  std::string header_;
  uint64_t data_start_ = 0;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, size_t> by_name_;
  std::map<std::string, std::string> metadata_;
};

// Parses a header's JSON text alone. `data_bytes` is the size of the data section.
Status ParseSafetensorsHeader(std::string_view header, uint64_t data_bytes,
                              const std::string& source, std::vector<StoredTensor>* tensors,
                              std::map<std::string, std::string>* metadata);

// A tensor to write; `data` is borrowed and holds the elements in row-major order.
struct TensorView {
  std::string name;
  StoredType type = StoredType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

// Writes the file durably (staged, fsync, rename): widest dtype first, then by name; metadata
// {"format":"pt"} unless given. kInvalidArgument for a duplicate name.
Status WriteSafetensors(const std::string& path, std::vector<TensorView> tensors,
                        const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

// The same file in pieces: the header names every tensor, then the caller appends the data in
// the order of `order` (indexes into the given list).
struct SafetensorsLayout {
  std::string header;         // length prefix and padded JSON
  std::vector<size_t> order;  // of the given tensors in the data section
};
StatusOr<SafetensorsLayout> LayoutSafetensors(const std::vector<TensorView>& tensors,
                                              const std::map<std::string, std::string>& metadata);

}  // namespace anamnesis::model
