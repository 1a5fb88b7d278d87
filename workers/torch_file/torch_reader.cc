// SPDX-License-Identifier: Apache-2.0
#include "workers/torch_file/torch_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

namespace anamnesis::torch_file {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor bytes are stored little-endian");

constexpr uint64_t kMaxPickleBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxRecordBytes = 64;
constexpr int kLastVersion = 10;  // kMaxSupportedFileFormatVersion of PyTorch's serialization
constexpr std::string_view kPickleSuffix = "/data.pkl";
// After PROTO and its number: LONG1 of 10 bytes, 0x1950A86A20F9469CFC6C, STOP.
constexpr std::string_view kOldMagic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

Status RefuseOldFormat(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(const FileDescriptor file, OpenForRead(path));
  ANAM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
  std::string head(std::min<uint64_t>(size, 2 + kOldMagic.size()), '\0');
  ANAM_RETURN_IF_ERROR(ReadAt(file, path, 0, head.data(), head.size()));
  if (head.size() == 2 + kOldMagic.size() && head[0] == '\x80' && head.substr(2) == kOldMagic) {
    return Unimplemented(path,
                         ": the format of torch.save before PyTorch 1.6 (no zip file) is not "
                         "built yet; save the model as model.safetensors, or open and save it "
                         "again with a newer PyTorch");
  }
  return absl::OkStatus();
}

// Copies `tensor`'s elements, of `Element`'s size, from the bytes of its span.
template <typename Element>
void Gather(const PickledTensor& tensor, const char* span, char* out) {
  const size_t num_axes = tensor.shape.size();
  std::vector<int64_t> index(num_axes, 0);
  uint64_t at = 0;
  for (uint64_t i = 0; i < tensor.numel; ++i) {
    std::memcpy(out + i * sizeof(Element), span + at * sizeof(Element), sizeof(Element));
    for (size_t axis = num_axes; axis-- > 0;) {
      const auto stride = static_cast<uint64_t>(tensor.strides[axis]);
      if (++index[axis] < tensor.shape[axis]) {
        at += stride;
        break;
      }
      at -= stride * static_cast<uint64_t>(tensor.shape[axis] - 1);
      index[axis] = 0;
    }
  }
}

}  // namespace

StatusOr<TorchFile> TorchFile::Open(const std::string& path) {
  ANAM_RETURN_IF_ERROR(RefuseOldFormat(path));
  ANAM_ASSIGN_OR_RETURN(ZipFile zip, ZipFile::Open(path));
  TorchFile file(std::move(zip));
  ANAM_RETURN_IF_ERROR(file.ReadDescription());
  return file;
}

const PickledTensor* TorchFile::Find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

// The folder of the one entry FOLDER/data.pkl.
StatusOr<std::string> TorchFile::ArchiveName() const {
  std::string archive;
  int num_found = 0;
  for (const ZipEntry& entry : zip_.entries()) {
    if (!entry.name.ends_with(kPickleSuffix)) continue;
    const std::string folder = entry.name.substr(0, entry.name.size() - kPickleSuffix.size());
    if (folder.empty() || folder.find('/') != std::string::npos) continue;
    archive = folder;
    ++num_found;
  }
  if (num_found == 1) return archive;
  return DataLoss(path(), ": ", num_found,
                  " entries FOLDER/data.pkl, expected one (not a file of torch.save)");
}

Status TorchFile::CheckFormat(const std::string& archive) const {
  if (zip_.Find(archive + "/constants.pkl") != nullptr) {
    return Unimplemented(path(),
                         ": a TorchScript archive (torch.jit.save) is not built yet, "
                         "expected a state_dict of torch.save");
  }
  if (const ZipEntry* entry = zip_.Find(archive + "/byteorder")) {
    ANAM_ASSIGN_OR_RETURN(const std::string order, zip_.ReadAll(*entry, kMaxRecordBytes));
    if (order != "little") return DataLoss(path(), ": byteorder: expected 'little'");
  }
  const ZipEntry* entry = zip_.Find(archive + "/version");
  if (entry == nullptr) return DataLoss(path(), ": the entry version is missing");
  ANAM_ASSIGN_OR_RETURN(const std::string text, zip_.ReadAll(*entry, kMaxRecordBytes));
  int version = 0;
  for (const char c : text) {
    if (c == '\n') break;
    if (c < '0' || c > '9' || version > kLastVersion)
      version = kLastVersion + 1;
    else
      version = 10 * version + (c - '0');
  }
  if (version >= 1 && version <= kLastVersion) return absl::OkStatus();
  return DataLoss(path(), ": the entry version: expected a number from 1 to ", kLastVersion);
}

Status TorchFile::ReadDescription() {
  ANAM_ASSIGN_OR_RETURN(const std::string archive, ArchiveName());
  ANAM_RETURN_IF_ERROR(CheckFormat(archive));
  data_prefix_ = archive + "/data/";
  const std::string pickle_name = Cat(archive, kPickleSuffix);
  ANAM_ASSIGN_OR_RETURN(header_, zip_.ReadAll(*zip_.Find(pickle_name), kMaxPickleBytes));
  StatusOr<std::vector<PickledTensor>> tensors = ReadStatePickle(header_);
  if (!tensors.ok()) return AddContext(tensors.status(), Cat(path(), ": data.pkl"));
  tensors_ = *std::move(tensors);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const PickledTensor& tensor = tensors_[i];
    by_name_[tensor.name] = i;
    const ZipEntry* entry = zip_.Find(data_prefix_ + tensor.storage_key);
    if (entry == nullptr) {
      return DataLoss(path(), ": tensor ", i, ": its storage, an entry data/KEY, is missing");
    }
    const uint64_t expected = tensor.storage_numel * static_cast<uint64_t>(BytesOf(tensor.type));
    if (entry->size_bytes != expected) {
      return DataLoss(path(), ": tensor ", i, ": its storage has ", entry->size_bytes,
                      " bytes, expected ", expected);
    }
  }
  header_ += zip_.directory();
  return absl::OkStatus();
}

Status TorchFile::Read(const PickledTensor& tensor, void* out) const {
  if (tensor.numel == 0) return absl::OkStatus();
  const ZipEntry* entry = zip_.Find(data_prefix_ + tensor.storage_key);
  if (entry == nullptr) return Internal(path(), ": a tensor of another file");
  const auto width = static_cast<uint64_t>(BytesOf(tensor.type));
  if (tensor.IsContiguous()) {
    return zip_.Read(*entry, tensor.offset * width, out, tensor.numel * width);
  }
  std::string span(tensor.span * width, '\0');
  ANAM_RETURN_IF_ERROR(zip_.Read(*entry, tensor.offset * width, span.data(), span.size()));
  char* target = static_cast<char*>(out);
  switch (width) {
    case 1:
      Gather<uint8_t>(tensor, span.data(), target);
      break;
    case 2:
      Gather<uint16_t>(tensor, span.data(), target);
      break;
    case 4:
      Gather<uint32_t>(tensor, span.data(), target);
      break;
    default:
      Gather<uint64_t>(tensor, span.data(), target);
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::torch_file
