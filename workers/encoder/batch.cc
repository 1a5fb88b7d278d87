// SPDX-License-Identifier: Apache-2.0
#include "workers/encoder/batch.h"

namespace anamnesis::encoder {
namespace {

at::Tensor ToTensor(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong)).to(device);
}

Status CheckDocument(const DocumentView& document, const EncoderConfig& config, size_t place) {
  const int64_t length = static_cast<int64_t>(document.ids.size());
  if (length == 0) return InvalidArgument("document ", place, " of the batch is empty");
  if (length > config.MaxTokens()) {
    return InvalidArgument("document ", place, " of the batch has ", length,
                           " tokens; the model takes at most ", config.MaxTokens());
  }
  for (const int32_t id : document.ids) {
    if (id < 0 || id >= config.vocab_size) {
      return InvalidArgument("document ", place, " of the batch: id ", id,
                             " is outside the model's vocabulary of ", config.vocab_size,
                             "; tokenizer and model do not agree");
    }
  }
  if (!document.token_types.empty() && document.token_types.size() != document.ids.size()) {
    return InvalidArgument("document ", place, " of the batch: ", document.token_types.size(),
                           " token types for ", length, " ids");
  }
  for (const int32_t type : document.token_types) {
    if (type < 0 || (config.type_vocab_size > 0 && type >= config.type_vocab_size)) {
      return InvalidArgument("document ", place, " of the batch: token type ", type,
                             ": the model has ", config.type_vocab_size);
    }
  }
  if (document.label < -1 || document.label >= config.num_labels) {
    return InvalidArgument("document ", place, " of the batch: label ", document.label,
                           ": expected 0 to ", config.num_labels - 1);
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<EncoderBatch> PackDocuments(std::span<const DocumentView> documents,
                                     const EncoderConfig& config, at::Device device) {
  if (documents.empty()) return InvalidArgument("a batch without documents");
  EncoderBatch batch;
  std::vector<int64_t> ids, positions, offsets, types, first, labels;
  for (size_t i = 0; i < documents.size(); ++i) {
    const DocumentView& document = documents[i];
    ANAM_RETURN_IF_ERROR(CheckDocument(document, config, i));
    first.push_back(static_cast<int64_t>(ids.size()));
    labels.push_back(document.label);
    batch.lengths.push_back(static_cast<int64_t>(document.ids.size()));
    int64_t place = config.pad_token_id;  // roberta: counts the ids that are not padding
    for (size_t j = 0; j < document.ids.size(); ++j) {
      const int64_t id = document.ids[j];
      offsets.push_back(static_cast<int64_t>(j));
      if (config.family == Family::kRoberta) {
        positions.push_back(id == config.pad_token_id ? config.pad_token_id : ++place);
      } else {
        positions.push_back(static_cast<int64_t>(j));
      }
      ids.push_back(id);
      types.push_back(document.token_types.empty() ? 0 : document.token_types[j]);
    }
  }
  batch.ids_T = ToTensor(ids, device);
  batch.positions_T = ToTensor(positions, device);
  batch.offsets_T = ToTensor(offsets, device);
  batch.token_types_T = ToTensor(types, device);
  batch.first_B = ToTensor(first, device);
  batch.labels_B = ToTensor(labels, device);
  return batch;
}

}  // namespace anamnesis::encoder
