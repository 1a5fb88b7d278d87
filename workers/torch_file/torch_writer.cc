// SPDX-License-Identifier: Apache-2.0
#include "workers/torch_file/torch_writer.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include "common/io/pickle_ops.h"
#include "workers/torch_file/pickle_text.h"
#include "workers/torch_file/zip_writer.h"

namespace anamnesis::torch_file {
namespace {

namespace op = pickle_op;

struct WrittenStorage {
  TorchType type = TorchType::kF32;
  int64_t numel = 0;
  const void* data = nullptr;

  std::string_view bytes() const {
    return {static_cast<const char*>(data), static_cast<size_t>(numel * BytesOf(type))};
  }
};

StatusOr<int64_t> NumElements(const TorchView& tensor) {
  int64_t numel = 1;
  int64_t size_bytes = 0;
  for (const int64_t extent : tensor.shape) {
    if (extent < 0 || __builtin_mul_overflow(numel, extent, &numel)) {
      return InvalidArgument("tensor '", tensor.name, "' is too large");
    }
  }
  if (__builtin_mul_overflow(numel, BytesOf(tensor.type), &size_bytes)) {
    return InvalidArgument("tensor '", tensor.name, "' is too large");
  }
  return numel;
}

// torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks).
void PutRebuild(const TorchView& tensor, const WrittenStorage& storage, size_t key,
                PickleText* pickle) {
  std::vector<int64_t> strides(tensor.shape.size(), 1);
  for (size_t i = strides.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * std::max<int64_t>(1, tensor.shape[i]);
  }
  pickle->Text(tensor.name);
  pickle->Global("torch._utils", "_rebuild_tensor_v2");
  pickle->Op(op::kMark);
  pickle->Op(op::kMark);
  pickle->Text("storage");
  pickle->Global("torch", StorageClassOf(tensor.type));
  pickle->Text(std::to_string(key));
  pickle->Text("cpu");
  pickle->Int(storage.numel);
  pickle->Op(op::kTuple);
  pickle->Op(op::kBinPersId);
  pickle->Int(0);
  pickle->Ints(tensor.shape);
  pickle->Ints(strides);
  pickle->Bool(false);
  pickle->Global("collections", "OrderedDict");
  pickle->Op(op::kEmptyTuple);
  pickle->Op(op::kReduce);
  pickle->Op(op::kTuple);
  pickle->Op(op::kReduce);
}

}  // namespace

std::string ArchiveNameOf(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  if (const size_t dot = name.rfind('.'); dot != std::string::npos && dot > 0) name.resize(dot);
  return name.empty() ? "archive" : name;
}

Status WriteTorchFile(const std::string& path, const std::vector<TorchView>& tensors,
                      uint64_t zip64_from) {
  std::vector<WrittenStorage> storages;
  std::map<std::tuple<const void*, TorchType, int64_t>, size_t> key_of;
  std::set<std::string_view> names;
  PickleText pickle;
  pickle.Global("collections", "OrderedDict");
  pickle.Op(op::kEmptyTuple);
  pickle.Op(op::kReduce);
  pickle.Op(op::kMark);
  for (const TorchView& tensor : tensors) {
    ANAM_ASSIGN_OR_RETURN(const int64_t numel, NumElements(tensor));
    if (!names.insert(tensor.name).second) {
      return InvalidArgument("tensor name '", tensor.name, "' is taken");
    }
    size_t key = storages.size();
    if (numel > 0)
      key = key_of.emplace(std::tuple(tensor.data, tensor.type, numel), key).first->second;
    if (key == storages.size()) storages.push_back({tensor.type, numel, tensor.data});
    PutRebuild(tensor, storages[key], key, &pickle);
  }
  pickle.Op(op::kSetItems);

  const std::string archive = ArchiveNameOf(path);
  ANAM_ASSIGN_OR_RETURN(ZipWriter zip, ZipWriter::Create(path, zip64_from));
  ANAM_RETURN_IF_ERROR(zip.Add(archive + "/data.pkl", pickle.Finish()));
  ANAM_RETURN_IF_ERROR(zip.Add(archive + "/byteorder", "little"));
  for (size_t key = 0; key < storages.size(); ++key) {
    ANAM_RETURN_IF_ERROR(zip.Add(Cat(archive, "/data/", key), storages[key].bytes()));
  }
  ANAM_RETURN_IF_ERROR(zip.Add(archive + "/version", "3\n"));
  return zip.Commit();
}

}  // namespace anamnesis::torch_file
