// SPDX-License-Identifier: Apache-2.0
#include "workers/train/lane_losses.h"

#include <ATen/ATen.h>

#include "workers/collective/tree.h"

namespace anamnesis::train {

double SumLaneLosses(collective::Group& group, int num_lanes, const std::vector<double>& own,
                     at::Device device, bool* flag) {
  // [loss of each own lane, padded to the largest range] [flag]
  const int64_t width = (num_lanes + group.size() - 1) / group.size();
  at::Tensor send = at::zeros({width + 1}, at::kDouble);
  auto* const out = send.data_ptr<double>();
  for (size_t i = 0; i < own.size(); ++i) out[i] = own[i];
  out[width] = *flag ? 1.0 : 0.0;
  const std::vector<at::Tensor> received = group.AllGather(send.to(device));
  std::vector<double> losses;
  for (int rank = 0; rank < group.size(); ++rank) {
    const at::Tensor values = received[rank].to(at::kCPU);
    const auto* data = values.data_ptr<double>();
    const collective::LaneRange range = collective::LanesOfRank(rank, group.size(), num_lanes);
    losses.insert(losses.end(), data, data + range.size());
    if (data[width] != 0) *flag = true;
  }
  return collective::TreeSum(losses);
}

}  // namespace anamnesis::train
