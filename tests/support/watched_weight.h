// SPDX-License-Identifier: Apache-2.0
// A frozen weight that counts its decoded copies and knows which of them are still alive.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "workers/model/frozen_weight.h"

namespace anamnesis::model {

class WatchedWeight : public FrozenWeight {
 public:
  explicit WatchedWeight(at::Tensor dense_OI) : dense_OI_(std::move(dense_OI)) {}

  int64_t in_features() const override { return dense_OI_.size(1); }
  int64_t out_features() const override { return dense_OI_.size(0); }
  at::Tensor Dense(at::ScalarType dtype) const override {
    at::Tensor copy = dense_OI_.to(dtype, /*non_blocking=*/false, /*copy=*/true);
    copies_.emplace_back(copy.storage().getWeakStorageImpl());
    return copy;
  }
  int64_t bytes() const override { return static_cast<int64_t>(dense_OI_.nbytes()); }

  int64_t num_decoded() const { return static_cast<int64_t>(copies_.size()); }
  int64_t num_alive() const {
    return std::count_if(copies_.begin(), copies_.end(),
                         [](const auto& copy) { return !copy.expired(); });
  }

 private:
  at::Tensor dense_OI_;
  mutable std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>> copies_;
};

}  // namespace anamnesis::model
