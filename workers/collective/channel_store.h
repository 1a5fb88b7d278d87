// SPDX-License-Identifier: Apache-2.0
// ChannelStore: c10d's rendezvous store over a KeyValue. Keys of one gang attempt live under a
// prefix (run id and epoch), so a late member of an older attempt meets nobody. Failures throw
// c10::DistStoreError. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "workers/collective/key_value.h"

namespace anamnesis::collective {

class ChannelStore : public c10d::Store {
 public:
  // shared: process groups keep clones of a store beyond their maker's life.
  ChannelStore(std::shared_ptr<KeyValue> channel, std::string prefix);

  using Store::set;
  c10::intrusive_ptr<Store> clone() override;
  void set(const std::string& key, const std::vector<uint8_t>& value) override;
  std::vector<uint8_t> get(const std::string& key) override;
  bool check(const std::vector<std::string>& keys) override;
  void wait(const std::vector<std::string>& keys) override;
  void wait(const std::vector<std::string>& keys,
            const std::chrono::milliseconds& timeout) override;
  // Gloo and NCCL need none of these; they throw.
  int64_t add(const std::string& key, int64_t value) override;
  bool deleteKey(const std::string& key) override;
  int64_t getNumKeys() override;

 private:
  std::shared_ptr<KeyValue> channel_;
  std::string prefix_;
};

}  // namespace anamnesis::collective
