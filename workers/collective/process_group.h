// SPDX-License-Identifier: Apache-2.0
// A Group over any c10d process group backend. Private to workers/collective.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <utility>
#include <vector>

#include "workers/collective/group.h"

namespace anamnesis::collective {

class ProcessGroup : public Group {
 public:
  ProcessGroup(c10::intrusive_ptr<c10d::Backend> backend, GroupOptions options)
      : backend_(std::move(backend)), options_(std::move(options)) {}

  int rank() const override { return options_.rank; }
  int size() const override { return options_.num_ranks; }

  std::vector<at::Tensor> AllGather(const at::Tensor& input) override {
    std::vector<std::vector<at::Tensor>> outputs(1);
    for (int i = 0; i < size(); ++i) outputs[0].push_back(at::empty_like(input));
    std::vector<at::Tensor> inputs = {input};
    Wait("all-gather", [&] { return backend_->allgather(outputs, inputs); });
    return outputs[0];
  }

  void AllReduceSum(at::Tensor& inout) override {
    std::vector<at::Tensor> tensors = {inout};
    Wait("all-reduce", [&] { return backend_->allreduce(tensors); });
  }

  void Barrier() override {
    Wait("barrier", [&] { return backend_->barrier(); });
  }

 private:
  // Gloo throws its own exceptions, of a type that the wheel does not export; here they become
  // c10's.
  template <typename Start>
  void Wait(const char* operation, Start start) {
    try {
      start()->wait();
    } catch (const c10::DistError&) {
      throw;
    } catch (const std::exception& error) {
      C10_THROW_ERROR(DistBackendError, std::string(operation) + " failed on rank " +
                                            std::to_string(rank()) + " of " +
                                            std::to_string(size()) + ": " + Reason(error.what()));
    }
  }

  // Gloo's text without the place in its source and without its advice.
  static std::string Reason(std::string text) {
    if (text.starts_with("[")) {
      const size_t end = text.find("] ");
      if (end != std::string::npos) text.erase(0, end + 2);
    }
    return text.substr(0, text.find(". This is typically"));
  }

  c10::intrusive_ptr<c10d::Backend> backend_;
  GroupOptions options_;
};

}  // namespace anamnesis::collective
