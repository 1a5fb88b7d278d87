// SPDX-License-Identifier: Apache-2.0
#include "workers/encoder/weights_in.h"

#include <ATen/core/grad_mode.h>

#include "workers/encoder/tensors.h"
#include "workers/model/seeded_fill.h"
#include "workers/model/weight_files.h"
#include "workers/model/weights.h"

namespace anamnesis::encoder {
namespace {

void FillNew(const EncoderTensor& tensor, uint64_t seed, const at::Tensor& weight) {
  switch (tensor.fill) {
    case Fill::kOne:
      weight.fill_(1);
      break;
    case Fill::kZero:
      weight.zero_();
      break;
    case Fill::kNormal:
      model::FillNormal(seed, tensor.name, tensor.spread, weight);
      break;
  }
}

}  // namespace

StatusOr<FilledWeights> FillWeights(const std::string& directory, const EncoderConfig& config,
                                    uint64_t seed,
                                    const std::map<std::string, at::Tensor>& tensors) {
  const at::NoGradGuard no_grad;
  ANAM_ASSIGN_OR_RETURN(const model::WeightFiles files, model::WeightFiles::Open(directory));
  std::vector<model::StoredTensor> stored;
  for (const auto& file : files.files()) {
    stored.insert(stored.end(), file->tensors().begin(), file->tensors().end());
  }
  ANAM_ASSIGN_OR_RETURN(const WeightMatch match, MatchWeights(config, stored, directory));
  for (const EncoderTensor& tensor : EncoderTensors(config)) {
    const at::Tensor& destination = tensors.at(tensor.name);
    const auto found = match.stored_name.find(tensor.name);
    if (found == match.stored_name.end()) {
      FillNew(tensor, seed, destination);
      continue;
    }
    const std::string& name = found->second;
    ANAM_ASSIGN_OR_RETURN(const at::Tensor values,
                          model::ReadFinite(*files.FileOf(name), *files.Find(name)));
    destination.copy_(values);
  }
  return FilledWeights{match.initialised, match.note};
}

}  // namespace anamnesis::encoder
