// SPDX-License-Identifier: Apache-2.0
#include "workers/model/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <set>

#include "common/io/json.h"

namespace anamnesis::model {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor bytes are stored little-endian");

constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct TypeRow {
  std::string_view name;
  int64_t bytes;
};
constexpr std::array<TypeRow, 13> kTypes = {{{"BOOL", 1},
                                             {"U8", 1},
                                             {"I8", 1},
                                             {"I16", 2},
                                             {"U16", 2},
                                             {"F16", 2},
                                             {"BF16", 2},
                                             {"I32", 4},
                                             {"U32", 4},
                                             {"F32", 4},
                                             {"F64", 8},
                                             {"I64", 8},
                                             {"U64", 8}}};

// Bytes of a shape, or nothing when the product overflows.
std::optional<uint64_t> CheckedBytes(const std::vector<int64_t>& shape, int64_t element_bytes) {
  uint64_t total = static_cast<uint64_t>(element_bytes);
  for (const int64_t extent : shape) {
    if (__builtin_mul_overflow(total, static_cast<uint64_t>(extent), &total)) return std::nullopt;
  }
  return total;
}

// Walks the header's JSON event by event, so that a duplicate key is seen and refused and nothing
// but the known structure is ever built. Depth 1: tensor names; depth 2: a tensor's fields.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(std::string source, std::vector<StoredTensor>* tensors,
               std::vector<std::array<uint64_t, 2>>* offsets,
               std::map<std::string, std::string>* metadata)
      : source_(std::move(source)), tensors_(tensors), offsets_(offsets), metadata_(metadata) {}

  const Status& status() const { return status_; }

  bool null() override { return Fail("a null where a value was expected"); }
  bool boolean(bool) override { return Fail("a boolean where none is allowed"); }
  bool number_integer(number_integer_t) override { return Fail("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return Fail("a number with a fraction");
  }
  bool binary(binary_t&) override { return Fail("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) return Fail("a number where none is allowed");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Fail("a number that is too large");
    }
    numbers_.push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) {
      metadata_->emplace(field_, value);
      return true;
    }
    if (depth_ != 2 || in_array_ || field_ != "dtype")
      return Fail("a string where none is allowed");
    const auto type = StoredTypeFromName(value);
    if (!type.ok()) return Fail(MessageOf(type.status()));
    tensors_->back().type = *type;
    return true;
  }

  bool start_object(std::size_t) override {
    if (in_array_ || depth_ >= 2) return Fail("an object where none is allowed");
    if (++depth_ == 2) {
      fields_.clear();
      in_metadata_ = name_ == "__metadata__";
      if (!in_metadata_) {
        tensors_->emplace_back();
        tensors_->back().name = name_;
        offsets_->push_back({0, 0});
      }
    }
    return true;
  }

  bool key(string_t& key) override {
    if (depth_ == 1) {
      name_ = key;
      if (!names_.insert(key).second) return Fail("the name appears twice");
      return true;
    }
    field_ = key;
    if (!fields_.insert(key).second) return Fail("a field appears twice");
    if (in_metadata_ || key == "dtype" || key == "shape" || key == "data_offsets") return true;
    return Fail("an unknown field; expected dtype, shape and data_offsets");
  }

  bool end_object() override {
    if (depth_-- == 2 && !in_metadata_ && fields_.size() != 3) {
      return Fail("expected the fields dtype, shape and data_offsets");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || field_ == "dtype") {
      return Fail("a list where none is allowed");
    }
    in_array_ = true;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    if (field_ == "shape") {
      tensors_->back().shape.assign(numbers_.begin(), numbers_.end());
    } else {
      if (numbers_.size() != 2) return Fail("data_offsets: expected two numbers");
      offsets_->back() = {numbers_[0], numbers_[1]};
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    if (status_.ok()) {
      status_ = DataLoss(source_, ": header is not valid JSON at byte ", 8 + position);
    }
    return false;
  }

 private:
  bool Fail(const std::string& what) {
    if (status_.ok()) {
      status_ = depth_ == 0 ? DataLoss(source_, ": header: ", what)
                            : DataLoss(source_, ": header entry ", names_.size(), ": ", what);
    }
    return false;
  }

  std::string source_;
  std::vector<StoredTensor>* tensors_;
  std::vector<std::array<uint64_t, 2>>* offsets_;
  std::map<std::string, std::string>* metadata_;
  Status status_;
  int depth_ = 0;
  bool in_metadata_ = false;
  bool in_array_ = false;
  std::string name_;
  std::string field_;
  std::set<std::string> names_;
  std::set<std::string> fields_;
  std::vector<uint64_t> numbers_;
};

}  // namespace

std::string_view StoredTypeName(StoredType type) { return kTypes[static_cast<size_t>(type)].name; }

int64_t StoredTypeBytes(StoredType type) { return kTypes[static_cast<size_t>(type)].bytes; }

StatusOr<StoredType> StoredTypeFromName(std::string_view name) {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].name == name) return static_cast<StoredType>(i);
  }
  return InvalidArgument("dtype is not one of BOOL U8 I8 I16 U16 F16 BF16 I32 U32 F32 F64 I64 U64");
}

int64_t StoredTensor::NumElements() const {
  return static_cast<int64_t>(size_bytes) / StoredTypeBytes(type);
}

Status ParseSafetensorsHeader(std::string_view header, uint64_t data_bytes,
                              const std::string& source, std::vector<StoredTensor>* tensors,
                              std::map<std::string, std::string>* metadata) {
  if (header.empty() || header.front() != '{') {
    return DataLoss(source, ": header: expected '{' at byte 8");
  }
  std::vector<StoredTensor> parsed;
  std::vector<std::array<uint64_t, 2>> offsets;
  HeaderReader reader(source, &parsed, &offsets, metadata);
  const bool done = Json::sax_parse(header.begin(), header.end(), &reader);
  ANAM_RETURN_IF_ERROR(reader.status());
  if (!done) return DataLoss(source, ": header is not valid JSON");

  std::vector<size_t> order(parsed.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return offsets[a] < offsets[b]; });
  uint64_t end = 0;
  for (const size_t i : order) {
    StoredTensor tensor = std::move(parsed[i]);
    const auto [begin, stop] = offsets[i];
    const auto bytes = CheckedBytes(tensor.shape, StoredTypeBytes(tensor.type));
    if (!bytes.has_value()) {
      return DataLoss(source, ": tensor '", tensor.name, "': the shape's product overflows");
    }
    if (begin != end || stop < begin) {
      return DataLoss(source, ": tensor '", tensor.name, "': data_offsets start at ", begin,
                      ", expected ", end);
    }
    if (stop - begin != *bytes) {
      return DataLoss(source, ": tensor '", tensor.name, "': data_offsets hold ", stop - begin,
                      " bytes, the shape and dtype need ", *bytes);
    }
    tensor.offset = begin;
    tensor.size_bytes = *bytes;
    end = stop;
    tensors->push_back(std::move(tensor));
  }
  if (end != data_bytes) {
    return DataLoss(source, ": the data section has ", data_bytes, " bytes, the header describes ",
                    end);
  }
  return absl::OkStatus();
}

StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  SafetensorsFile file;
  file.path_ = path;
  ANAM_ASSIGN_OR_RETURN(file.fd_, OpenForRead(path));
  ANAM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
  uint64_t header_bytes = 0;
  if (size < sizeof(header_bytes)) {
    return DataLoss(path, ": ", size, " bytes; a safetensors file has at least 8");
  }
  ANAM_RETURN_IF_ERROR(ReadAt(file.fd_, path, 0, &header_bytes, sizeof(header_bytes)));
  if (header_bytes > kMaxHeaderBytes || header_bytes > size - 8) {
    return DataLoss(path, ": header length ", header_bytes, ": expected at most ",
                    std::min(kMaxHeaderBytes, size - 8));
  }
  file.header_.resize(header_bytes);
  ANAM_RETURN_IF_ERROR(ReadAt(file.fd_, path, 8, file.header_.data(), header_bytes));
  file.data_start_ = 8 + header_bytes;
  ANAM_RETURN_IF_ERROR(ParseSafetensorsHeader(file.header_, size - file.data_start_, path,
                                              &file.tensors_, &file.metadata_));
  for (size_t i = 0; i < file.tensors_.size(); ++i) file.by_name_[file.tensors_[i].name] = i;
  return file;
}

const StoredTensor* SafetensorsFile::Find(const std::string& name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

Status SafetensorsFile::Read(const StoredTensor& tensor, void* out) const {
  return ReadAt(fd_, path_, data_start_ + tensor.offset, out, tensor.size_bytes);
}

StatusOr<SafetensorsLayout> LayoutSafetensors(const std::vector<TensorView>& tensors,
                                              const std::map<std::string, std::string>& metadata) {
  const auto quoted = [](const std::string& text) {
    return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  SafetensorsLayout layout;
  layout.order.resize(tensors.size());
  std::iota(layout.order.begin(), layout.order.end(), size_t{0});
  std::sort(layout.order.begin(), layout.order.end(), [&](size_t a, size_t b) {
    if (tensors[a].type != tensors[b].type) return tensors[a].type > tensors[b].type;
    return tensors[a].name < tensors[b].name;
  });
  std::set<std::string> names;
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) json += quoted(key) + ":" + quoted(value) + ",";
    json.back() = '}';
  }
  uint64_t offset = 0;
  for (const size_t i : layout.order) {
    const TensorView& tensor = tensors[i];
    const auto bytes = CheckedBytes(tensor.shape, StoredTypeBytes(tensor.type));
    if (!bytes.has_value()) return InvalidArgument("tensor '", tensor.name, "' is too large");
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      return InvalidArgument("tensor name '", tensor.name, "' is taken");
    }
    if (json.size() > 1) json += ",";
    json += Cat(quoted(tensor.name), ":{\"dtype\":\"", StoredTypeName(tensor.type),
                "\",\"shape\":", Json(tensor.shape).dump(), ",\"data_offsets\":[", offset, ",",
                offset + *bytes, "]}");
    offset += *bytes;
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const uint64_t length = json.size();
  layout.header.assign(reinterpret_cast<const char*>(&length), sizeof(length));
  layout.header += json;
  return layout;
}

Status WriteSafetensors(const std::string& path, std::vector<TensorView> tensors,
                        const std::map<std::string, std::string>& metadata) {
  ANAM_ASSIGN_OR_RETURN(const SafetensorsLayout layout, LayoutSafetensors(tensors, metadata));
  ANAM_ASSIGN_OR_RETURN(StagedFile file, StagedFile::Create(path));
  ANAM_RETURN_IF_ERROR(file.Append(layout.header));
  for (const size_t i : layout.order) {
    const TensorView& tensor = tensors[i];
    const uint64_t bytes = *CheckedBytes(tensor.shape, StoredTypeBytes(tensor.type));
    ANAM_RETURN_IF_ERROR(
        file.Append(std::string_view(static_cast<const char*>(tensor.data), bytes)));
  }
  return file.Commit();
}

}  // namespace anamnesis::model
