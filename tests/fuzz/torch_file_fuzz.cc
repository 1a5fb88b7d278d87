// SPDX-License-Identifier: Apache-2.0
// A whole file of torch.save, or its pickle alone. What is accepted can be read to its last tensor,
// in no more memory than the file is large.
#include <sys/mman.h>
#include <unistd.h>

#include "common/io/file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/workers/torch_file/zip_bytes.h"
#include "workers/torch_file/torch_reader.h"
#include "workers/torch_file/torch_writer.h"

namespace {

using namespace anamnesis::torch_file;

// A nameless file in memory, overwritten for every input, because the parser reads a path.
std::string PathOf(const uint8_t* data, size_t size) {
  static const int fd = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) {
    __builtin_trap();
  }
  return anamnesis::Cat("/proc/self/fd/", fd);
}

std::string FileOf(const std::vector<TorchView>& tensors, uint64_t zip64_from) {
  const anamnesis::TemporaryFolder folder;
  if (!WriteTorchFile(folder.File("model.bin"), tensors, zip64_from).ok()) __builtin_trap();
  return *anamnesis::ReadFile(folder.File("model.bin"));
}

bool IsRefusal(const anamnesis::Status& status) {
  return status.code() == absl::StatusCode::kDataLoss ||
         status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kUnimplemented;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  static const std::string data(96, '\x3f');
  const std::vector<TorchView> tensors = {{"a.weight", TorchType::kF32, {2, 3}, data.data()},
                                          {"b", TorchType::kBF16, {4}, data.data() + 24},
                                          {"tied", TorchType::kF32, {2, 3}, data.data()},
                                          {"scalar", TorchType::kI64, {}, data.data() + 32},
                                          {"none", TorchType::kBool, {0, 4}, nullptr}};
  const std::string file = FileOf(tensors, zip::kNone32);
  // Without the pickle's checksum, so that a changed one is read too.
  const std::string unchecked = WithField(WithField(file, zip::kLocalSignature, 0, 14, 0, 4),
                                          zip::kCentralSignature, 0, 16, 0, 4);
  const size_t pickle = file.find("\x80\x02");
  return {file, unchecked, FileOf(tensors, 1), FileOf({}, zip::kNone32),
          file.substr(pickle, file.find("PK", pickle) - pickle)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.substr(0, 1) == "\x80") {
    const auto tensors = ReadStatePickle(bytes);
    if (!tensors.ok() && !IsRefusal(tensors.status())) __builtin_trap();
  }
  const auto file = TorchFile::Open(PathOf(data, size));
  if (!file.ok()) {
    if (!IsRefusal(file.status())) __builtin_trap();
    return 0;
  }
  for (const PickledTensor& tensor : file->tensors()) {
    const uint64_t size_bytes = tensor.numel * static_cast<uint64_t>(BytesOf(tensor.type));
    if (size_bytes > size || file->Find(tensor.name) == nullptr) __builtin_trap();
    std::string out(size_bytes, '\0');
    const anamnesis::Status status = file->Read(tensor, out.data());
    if (!status.ok() && !IsRefusal(status)) __builtin_trap();
  }
  return 0;
}
