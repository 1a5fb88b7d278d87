// SPDX-License-Identifier: Apache-2.0
// A group of one: every collective is the identity.
#include "workers/collective/group.h"

namespace anamnesis::collective {
namespace {

class SingleGroup : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::vector<at::Tensor> AllGather(const at::Tensor& input) override { return {input}; }
  void AllReduceSum(at::Tensor&) override {}
  void Barrier() override {}
};

}  // namespace

std::unique_ptr<Group> MakeSingleGroup() { return std::make_unique<SingleGroup>(); }

}  // namespace anamnesis::collective
