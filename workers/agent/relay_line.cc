// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/relay_line.h"

#include <utility>

namespace anamnesis::agent {

void RelayLine::Put(v1::Relay relay) {
  relay.set_node(node_);
  relay.set_sequence(++last_put_);
  kept_.push_back(std::move(relay));
}

void RelayLine::TakeDue(std::vector<v1::Relay>* due) {
  for (const v1::Relay& relay : kept_) {
    if (relay.sequence() <= last_sent_) continue;
    due->push_back(relay);
    due->back().set_acknowledged(last_received_);
    last_sent_ = relay.sequence();
    acknowledge_ = false;
  }
  if (!std::exchange(acknowledge_, false)) return;
  v1::Relay alone;
  alone.set_node(node_);
  alone.set_acknowledged(last_received_);
  due->push_back(std::move(alone));
}

void RelayLine::SendAgain() {
  last_sent_ = kept_.empty() ? last_put_ : kept_.front().sequence() - 1;
}

bool RelayLine::Receive(const v1::Relay& relay) {
  while (!kept_.empty() && kept_.front().sequence() <= relay.acknowledged()) kept_.pop_front();
  if (relay.sequence() == 0) return false;
  acknowledge_ = true;
  if (relay.sequence() != last_received_ + 1) return false;
  last_received_ = relay.sequence();
  return true;
}

}  // namespace anamnesis::agent
