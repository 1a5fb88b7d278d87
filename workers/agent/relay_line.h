// SPDX-License-Identifier: Apache-2.0
// RelayLine: one worker's end of what it and the worker of another node say to each other
// (docs/formats/session.md, Relays). Messages are numbered, kept until the other side has
// acknowledged them, and come out once and in order, however often a session of either side breaks.
// Pure. Thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "anamnesis/v1/worker_service.pb.h"

namespace anamnesis::agent {

class RelayLine {
 public:
  explicit RelayLine(int32_t node) : node_(node) {}  // of the other side

  void Put(v1::Relay relay);
  // Appends what is to be sent now, with what is to be acknowledged; acknowledges alone if only
  // that is due.
  void TakeDue(std::vector<v1::Relay>* due);
  // Everything that is not acknowledged is due again.
  void SendAgain();
  // The next TakeDue has something to send: that this side is alive.
  void Beat() { acknowledge_ = true; }
  // True when the message is new: it is the next one. Others are dropped: they came before, or
  // come again.
  bool Receive(const v1::Relay& relay);

 private:
  const int32_t node_;
  int64_t last_put_ = 0, last_sent_ = 0, last_received_ = 0;
  std::deque<v1::Relay> kept_;  // not acknowledged
  bool acknowledge_ = false;
};

}  // namespace anamnesis::agent
